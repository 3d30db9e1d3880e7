//! Builds: attempts to turn source into an image.

use std::fmt;
use std::str::FromStr;

use super::{AppId, BuildHealth, BuildId, CronTask, ProcessType, Procfile, Runtime, Timestamp, UserId, Username};

/// How an image came about, which decides how its processes are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildKind {
    /// By the Dockerfile at the root of a pushed tree.
    Dockerfile,
    /// By buildpacks; a slug laid on the stack's run image.
    Slug,
    /// Elsewhere; Slipway only refers to it.
    Image,
}

/// Where a build stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildStatus {
    /// Being made.
    Pending,
    /// Its image can be released.
    Succeeded,
    /// It never will be.
    Failed,
}

/// The stored word was written by something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a {kind}")]
pub struct UnknownWord {
    /// The set of words that was expected.
    pub kind: &'static str,
    /// What was found.
    pub text: String,
}

/// Gives a closed set of states its stored words, in both directions.
macro_rules! words {
    ($name:ident, $kind:literal, $($variant:ident = $word:literal),+ $(,)?) => {
        impl $name {
            /// The stored and printed word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl FromStr for $name {
            type Err = $crate::model::UnknownWord;
            fn from_str(text: &str) -> Result<Self, $crate::model::UnknownWord> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::model::UnknownWord { kind: $kind, text: text.to_owned() }),
                }
            }
        }
    };
}
pub(crate) use words;

words!(BuildKind, "build kind", Dockerfile = "dockerfile", Slug = "slug", Image = "image");
words!(BuildStatus, "build status", Pending = "pending", Succeeded = "succeeded", Failed = "failed");

/// One attempt to turn source into an image.
#[derive(Debug, Clone)]
pub struct Build {
    /// Stable identity.
    pub id: BuildId,
    /// Whose build.
    pub app_id: AppId,
    /// Who asked for it.
    pub owner_id: UserId,
    /// The asker's name, for display.
    pub owner: Username,
    /// How the image came about.
    pub kind: BuildKind,
    /// Where the attempt stands.
    pub status: BuildStatus,
    /// What people see: the app's name for a pushed commit, the given reference for an image.
    pub image: String,
    /// The engine's reference that instances are started from; empty until the build succeeded.
    pub engine_image: String,
    /// Full id of the pushed commit; `None` for an image made elsewhere.
    pub commit: Option<String>,
    /// Digest of everything that went into the image, for reuse; `None` when nothing may reuse it.
    pub fingerprint: Option<String>,
    /// Digest of the slug of a [`BuildKind::Slug`].
    pub slug: Option<String>,
    /// What was posted as the Dockerfile of a [`BuildKind::Image`]; empty otherwise.
    pub dockerfile: String,
    /// Process types and commands; empty when the image's own command is all there is.
    pub procfile: Procfile,
    /// The port that its instances are expected on unless the config names another: the lowest that the image declares.
    pub port: Option<u16>,
    /// What it says of the health of its instances.
    pub health: BuildHealth,
    /// What it asks to be run when.
    pub cron: Vec<CronTask>,
    /// The languages whose version it asked for.
    pub runtimes: Vec<Runtime>,
    /// When the attempt began.
    pub created_at: Timestamp,
    /// When its row last changed.
    pub updated_at: Timestamp,
}

impl Build {
    /// Whether instances of `process` can be started from this build.
    pub fn has_process(&self, process: &ProcessType) -> bool {
        *process == ProcessType::cmd() && self.kind != BuildKind::Slug || self.procfile.command(process).is_some()
    }

    /// The single process type that a first deploy starts, as Deis scales by default (spec §6): an image's own command
    /// where no commit is known, else `web` if it is declared; `None` when a slug declares none.
    pub fn default_process(&self) -> Option<ProcessType> {
        if self.commit.is_none() && self.kind == BuildKind::Image {
            Some(ProcessType::cmd())
        } else if self.procfile.command(&ProcessType::web()).is_some() {
            Some(ProcessType::web())
        } else if self.kind != BuildKind::Slug {
            Some(ProcessType::cmd())
        } else {
            None
        }
    }

    /// First seven digits of the commit, or the image reference.
    pub fn short_source(&self) -> &str {
        self.commit.as_deref().map_or(&self.image, |commit| commit.get(..7).unwrap_or(commit))
    }
}
