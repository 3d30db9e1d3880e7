//! Bare repositories: create, resolve, read, export a tree as tar; uploaded archives and submodules become part of that.
//!
//! What is not async here blocks on the disk: callers inside the runtime use `spawn_blocking`.

mod archive;
mod fetch;
mod foreign;
mod gitmodules;
mod import;
mod inspect;
mod limits;
mod names;
mod program;
mod remote;
mod repositories;
mod source;
mod submodules;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use archive::TarStream;
pub use foreign::Foreign;
pub use import::ArchiveOptions;
pub use inspect::{Inspected, LfsPointers};
pub use limits::SourceLimits;
pub use repositories::{Repositories, Swept};
pub use source::{Source, SourceOptions};
pub use submodules::SubmoduleOptions;

/// What could not be done with a repository.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The repository holds no object of that name.
    #[error("{repository} holds no object '{oid}'", repository = repository.display())]
    UnknownObject {
        /// Where it was looked for.
        repository: PathBuf,
        /// The name, as it was given.
        oid: String,
    },
    /// The object exists and does not lead to a commit.
    #[error("'{oid}' is a {kind}, not a commit")]
    NotACommit {
        /// The object.
        oid: String,
        /// `tree`, `blob` or what else it is.
        kind: String,
    },
    /// A file is larger than the caller takes.
    #[error("'{path}' has {size} bytes; at most {max} are taken")]
    TooLarge {
        /// The file's path in the tree.
        path: String,
        /// How large it is.
        size: u64,
        /// How large it may be.
        max: u64,
    },
    /// The source cannot be taken as it is; the text says what is wrong with what, and what to do.
    #[error("{0}")]
    Refused(String),
    /// The disk, or whoever takes the archive, failed.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// libgit2 failed.
    #[error("cannot {action} {path}", path = path.display())]
    Git {
        /// What was attempted.
        action: &'static str,
        /// In which repository.
        path: PathBuf,
        /// Why it failed.
        source: git2::Error,
    },
}

impl GitError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    fn git(action: &'static str, path: &Path) -> impl FnOnce(git2::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Git { action, path, source }
    }
}

/// The object that a reference (`refs/heads/main`) points at, 40 hex digits; `None` when there is no such reference.
///
/// # Errors
/// [`GitError::Git`] when the repository or the reference cannot be read.
pub fn read_ref(repository: &Path, name: &str) -> Result<Option<String>, GitError> {
    let opened = git2::Repository::open_bare(repository).map_err(GitError::git("open repository", repository))?;
    match opened.refname_to_id(name) {
        Ok(oid) => Ok(Some(oid.to_string())),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(error) => Err(GitError::git("read a reference of", repository)(error)),
    }
}
