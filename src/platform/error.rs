//! The one error of the platform, free of any door's status codes and shapes.

use std::time::Duration;

use crate::build::BuildError;
use crate::engine::EngineError;
use crate::git::GitError;
use crate::model::QuotaExceeded;
use crate::rollout::RolloutError;
use crate::store::{JournalError, StoreError};

/// Why a verb did not do what was asked.
///
/// `Display` is what the person reads. What only the operator may read travels in [`Error::Internal`] and is logged once,
/// by the door that answers.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such thing, or not for this person's eyes.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The thing exists, this person has no right to do that with it.
    #[error("you do not have permission to perform this action")]
    Forbidden,
    /// Not for whoever asks; the text says who may, and how.
    #[error("{0}")]
    Denied(String),
    /// No valid proof of who is asking.
    #[error("unable to log in with the provided credentials")]
    WrongCredentials,
    /// Too many wrong passwords, registrations or both at once; after this time the next is looked at.
    #[error("too many attempts; try again in {} s", .0.as_secs_f64().ceil())]
    Throttled(Duration),
    /// The account exists and is switched off.
    #[error("this account is disabled")]
    Disabled,
    /// A value breaks its rule.
    #[error("{message}")]
    Invalid {
        /// The field, as every door calls it.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// A value that must be unique is taken.
    #[error("{field} is taken")]
    Taken {
        /// The field.
        field: &'static str,
    },
    /// An account may not have that much.
    #[error(transparent)]
    Quota(#[from] QuotaExceeded),
    /// The request is well formed but makes no sense in the present state.
    #[error("{0}")]
    Refused(String),
    /// It is too late, or too early, for that.
    #[error("{0}")]
    Conflict(String),
    /// The source cannot be built, or its image does not come up. One line or several, the first one says it all.
    #[error("{}", .0.first().map_or("the deploy failed", String::as_str))]
    DeployFailed(Vec<String>),
    /// The asker called it off in time.
    #[error("cancelled")]
    Cancelled,
    /// Something outside (the engine, the database) is away. Asking again later helps.
    #[error("{0}")]
    Unavailable(String),
    /// A fault of ours or of the machine; the person learns only that.
    #[error("an internal error occurred; the server's log has the details")]
    Internal(#[source] anyhow::Error),
}

impl Error {
    /// A value that breaks its rule.
    pub fn invalid(field: &'static str, message: impl ToString) -> Self {
        Self::Invalid { field, message: message.to_string() }
    }

    /// All lines for the person, the most telling first.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::DeployFailed(lines) => lines.clone(),
            other => vec![other.to_string()],
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error.outage() {
            Some(why) => {
                // Here, since the person learns the kind of trouble only and no door logs what is no fault of ours.
                tracing::error!(error = ?error, "the database cannot be used: {why}");
                Self::Unavailable(format!(
                    "the database cannot be used: {why}. Try again once the operator has fixed it"
                ))
            }
            None => Self::Internal(error.into()),
        }
    }
}

impl From<JournalError> for Error {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Store(error) => error.into(),
            error @ JournalError::Illegal(_) => Self::Internal(error.into()),
        }
    }
}

impl From<GitError> for Error {
    fn from(error: GitError) -> Self {
        match error {
            GitError::Refused(text) => Self::DeployFailed(vec![text]),
            error => Self::Internal(error.into()),
        }
    }
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Unreachable(_) | EngineError::TimedOut { .. } => Self::Unavailable(error.to_string()),
            EngineError::NoCommand { .. } => Self::Refused(error.to_string()),
            EngineError::NotFound { .. }
            | EngineError::InUse { .. }
            | EngineError::PortTaken { .. }
            | EngineError::PullFailed { .. }
            | EngineError::Refused { .. }
            | EngineError::BuildFailed(_) => Self::DeployFailed(vec![error.to_string()]),
            EngineError::Io { .. } => Self::Internal(error.into()),
        }
    }
}

impl From<BuildError> for Error {
    fn from(error: BuildError) -> Self {
        let hint = error.hint().map(str::to_owned);
        match error {
            BuildError::Engine(error) => error.into(),
            BuildError::Quota(exceeded) => exceeded.into(),
            BuildError::Source(_) | BuildError::Io { .. } => Self::Internal(error.into()),
            other => Self::DeployFailed(std::iter::once(other.to_string()).chain(hint).collect()),
        }
    }
}

impl From<RolloutError> for Error {
    fn from(error: RolloutError) -> Self {
        match error {
            RolloutError::Unhealthy(lines) => Self::DeployFailed(lines),
            error @ RolloutError::Setting(_) => Self::DeployFailed(vec![error.to_string()]),
            RolloutError::Engine(error) => error.into(),
            RolloutError::Store(error) => error.into(),
            RolloutError::Journal(error) => error.into(),
        }
    }
}
