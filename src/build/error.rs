//! How a build ends without an image.

use std::time::Duration;

use crate::engine::EngineError;
use crate::git::GitError;
use crate::model::{ProcfileError, QuotaExceeded};

/// Why there is no image. Each variant is an outcome that its caller, or the person who pushed, treats differently.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The source cannot be built as it is; the text says what to change and what to type.
    #[error("{0}")]
    Refused(String),
    /// The Procfile is wrong; the text names the line.
    #[error("{0}; correct it, commit and push again")]
    Procfile(#[from] ProcfileError),
    /// The source's own build ran and failed, after its output.
    #[error("{stage} failed: {status}")]
    Failed {
        /// What failed, in the words of the output.
        stage: String,
        /// How it ended.
        status: String,
        /// What to do about it.
        hint: String,
    },
    /// The build took longer than builds may.
    #[error("the build took longer than {} s, which is as long as a build may take, and was stopped", limit.as_secs())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The kernel ended a process of the build for lack of memory.
    #[error("the build needs more memory than a build may use ({} MiB), and was stopped", limit_bytes >> 20)]
    OutOfMemory {
        /// The limit in bytes.
        limit_bytes: i64,
    },
    /// The slug, or the tree it is made from, is larger than slugs may be.
    #[error("the slug is larger than {} MiB, which is as large as a slug may be", limit_bytes >> 20)]
    SlugTooLarge {
        /// The limit in bytes.
        limit_bytes: u64,
    },
    /// The disk has no room for a build.
    #[error(
        "there is too little room on the server's disk to build: {free} are free in {place}, {missing} are missing"
    )]
    NoSpace {
        /// Which folder.
        place: String,
        /// What there is.
        free: String,
        /// What it lacks.
        missing: String,
    },
    /// The image is larger than images may be.
    #[error("the image has {size}, and may have {limit}")]
    ImageTooLarge {
        /// Its size.
        size: String,
        /// The limit.
        limit: String,
    },
    /// What the builder left in `/app` cannot become a slug.
    #[error("the built tree cannot become a slug: {0}")]
    BadTree(String),
    /// The images that slugs are built and run on are not there.
    #[error("stack image {image} is missing on this server; its administrator types: slipway stack build")]
    NoStack {
        /// The missing image.
        image: String,
    },
    /// The engine lost the image of an earlier build, and there is no slug to make it anew from.
    #[error("the image {image} of this build is gone from the container engine; push the commit again to rebuild it")]
    ImageLost {
        /// The missing image.
        image: String,
    },
    /// The app's owner has as many builds waiting as may wait, or as much on the disk as may be there.
    #[error(transparent)]
    Quota(QuotaExceeded),
    /// The container engine failed us.
    #[error(transparent)]
    Engine(EngineError),
    /// The repository failed us.
    #[error(transparent)]
    Source(GitError),
    /// This machine failed us.
    #[error("{action}: {source}")]
    Io {
        /// What was attempted, on which file.
        action: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl From<GitError> for BuildError {
    fn from(error: GitError) -> Self {
        match error {
            GitError::TooLarge { .. } => Self::too_large(&error),
            GitError::Refused(text) => Self::Refused(text),
            error => Self::Source(error),
        }
    }
}

impl From<EngineError> for BuildError {
    /// An archive that breaks off on its way to the engine tells why, and that may be the source's own fault.
    fn from(error: EngineError) -> Self {
        let cause = match &error {
            EngineError::Io { source, .. } => source.get_ref().and_then(|cause| cause.downcast_ref()),
            _ => None,
        };
        match cause {
            Some(cause @ GitError::TooLarge { .. }) => Self::too_large(cause),
            Some(GitError::Refused(text)) => Self::Refused(text.clone()),
            _ => Self::Engine(error),
        }
    }
}

impl BuildError {
    fn too_large(error: &GitError) -> Self {
        Self::Refused(format!("{error}: take it out of the repository, commit and push again."))
    }

    /// What the person who pushed can do, where the message alone does not say it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Failed { hint, .. } => Some(hint),
            Self::TimedOut { .. } => Some("Find the step that hangs above, or do that work when the app starts."),
            Self::OutOfMemory { .. } => {
                Some("Build with less parallelism, or ask the server's administrator for a higher build memory limit.")
            }
            Self::NoSpace { .. } => {
                Some("Its administrator types: slipway gc. Or sets SLIPWAY_MIN_FREE_DISK lower. Then push again.")
            }
            Self::ImageTooLarge { .. } => {
                Some("Build in several stages and keep only the last one's files, then commit and push again.")
            }
            Self::SlugTooLarge { .. } => {
                Some("List what is not needed at run time in .slugignore, commit and push again.")
            }
            Self::Refused(_)
            | Self::Procfile(_)
            | Self::BadTree(_)
            | Self::NoStack { .. }
            | Self::ImageLost { .. }
            | Self::Quota(_)
            | Self::Engine(_)
            | Self::Source(_)
            | Self::Io { .. } => None,
        }
    }

    /// Whether the pushed source is to blame, rather than this server.
    pub fn is_fault_of_source(&self) -> bool {
        match self {
            Self::Refused(_)
            | Self::Procfile(_)
            | Self::Failed { .. }
            | Self::TimedOut { .. }
            | Self::OutOfMemory { .. }
            | Self::SlugTooLarge { .. }
            | Self::ImageTooLarge { .. }
            | Self::BadTree(_) => true,
            Self::NoSpace { .. }
            | Self::NoStack { .. }
            | Self::ImageLost { .. }
            | Self::Quota(_)
            | Self::Engine(_)
            | Self::Source(_)
            | Self::Io { .. } => false,
        }
    }

    /// Turns an IO error into one that names what was attempted.
    pub(super) fn io(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action: action.into(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_large_is_the_sources_fault_wherever_it_is_found() {
        let cause = || GitError::TooLarge { path: "a.bin".into(), size: 9, max: 5 };
        let on_the_way = EngineError::Io { action: "uploading".into(), source: std::io::Error::other(cause()) };
        for error in [BuildError::from(cause()), BuildError::from(on_the_way)] {
            assert!(
                matches!(&error, BuildError::Refused(text) if text.starts_with("'a.bin' has 9 bytes")),
                "{error:?}"
            );
        }
        let broken = EngineError::Io { action: "uploading".into(), source: std::io::ErrorKind::BrokenPipe.into() };
        assert!(!BuildError::from(broken).is_fault_of_source());
    }
}
