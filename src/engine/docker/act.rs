//! One request to the engine: its words for messages, its time limit, and the one place where errors are sorted.

use std::error::Error as _;
use std::future::Future;
use std::time::Duration;

use bollard::errors::Error;

use crate::engine::EngineError;
use crate::telemetry::metrics::metrics;

/// What is being done to which thing.
#[derive(Debug, Clone)]
pub(super) struct Act {
    verb: &'static str,
    what: String,
}

/// Whether an answer broke off, by connection or by format. The alternative is that the engine itself says what failed.
pub(super) fn broke_off(error: &Error) -> bool {
    !matches!(error, Error::DockerResponseServerError { .. } | Error::DockerStreamError { .. })
}

impl Act {
    /// `verb` in its -ing form, then the thing: `Act::on("starting", "container", "web.1")`.
    pub(super) fn on(verb: &'static str, kind: &str, name: &str) -> Self {
        Self { verb, what: format!("{kind} {name}") }
    }

    /// `starting container web.1`.
    pub(super) fn action(&self) -> String {
        format!("{} {}", self.verb, self.what)
    }

    /// Awaits `call` for at most `limit`.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, EngineError> {
        self.raw_within(limit, call).await?.map_err(|error| self.failed(error))
    }

    /// As [`Act::within`], for callers that look at the engine's status code themselves.
    pub(super) async fn raw_within<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<Result<T, Error>, EngineError> {
        tokio::time::timeout(limit, call).await.map_err(|_| self.timed_out(limit))
    }

    /// As [`Act::within`], for removals: the engine answers 409 when a container needs the thing.
    pub(super) async fn removal<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<(), EngineError> {
        self.raw_within(limit, call).await?.map(drop).map_err(|error| match error {
            Error::DockerResponseServerError { status_code: 409, message } => {
                EngineError::InUse { what: self.what.clone(), message: message.trim().to_owned() }
            }
            other => self.failed(other),
        })
    }

    pub(super) fn timed_out(&self, limit: Duration) -> EngineError {
        metrics().engine_error("timed-out");
        EngineError::TimedOut { action: self.action(), limit }
    }

    pub(super) fn refused(&self, message: impl Into<String>) -> EngineError {
        metrics().engine_error("refused");
        EngineError::Refused { action: self.action(), message: message.into() }
    }

    /// Sorts an error of the client library into ours.
    pub(super) fn failed(&self, error: Error) -> EngineError {
        match error {
            Error::DockerResponseServerError { status_code: 404, message } => {
                EngineError::NotFound { what: missing_thing(&message).unwrap_or_else(|| self.what.clone()) }
            }
            Error::DockerResponseServerError { message, .. } | Error::DockerStreamError { error: message } => {
                self.refused(message.trim())
            }
            Error::SocketNotFoundError(path) => unreachable(format!(
                "there is no socket {path}; start the engine, for example with `systemctl start docker`"
            )),
            Error::HyperLegacyError { .. } | Error::HyperResponseError { .. } | Error::IOError { .. } => unreachable(
                format!("{} ({}); see whether the engine runs with `docker info`", chain(&error), self.action()),
            ),
            Error::RequestTimeoutError => self.timed_out(super::CLIENT_LIMIT),
            other => self.refused(chain(&other)),
        }
    }
}

fn unreachable(why: String) -> EngineError {
    metrics().engine_error("unreachable");
    EngineError::Unreachable(why)
}

/// The thing a "not found" is about when it is not the one that was asked for: a container cannot start without its
/// network, nor be created without its image.
fn missing_thing(message: &str) -> Option<String> {
    let message = message.trim();
    if let Some(name) = message.strip_prefix("network ").and_then(|rest| rest.strip_suffix(" not found")) {
        return Some(format!("network {name}"));
    }
    message.strip_prefix("No such image: ").map(|name| format!("image {name}"))
}

/// An error and what caused it, on one line; layers that only repeat their cause are said once.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status_code: u16, message: &str) -> Error {
        Error::DockerResponseServerError { status_code, message: message.to_owned() }
    }

    #[test]
    fn a_missing_thing_is_named() {
        let act = Act::on("starting", "container", "web.1");
        let missing = |message| act.failed(response(404, message)).to_string();
        assert_eq!(missing("No such container: web.1"), "container web.1 does not exist in the container engine");
        assert_eq!(missing("network blog not found"), "network blog does not exist in the container engine");
        assert_eq!(missing("No such image: a/b:1"), "image a/b:1 does not exist in the container engine");
    }

    #[test]
    fn a_refusal_says_what_was_attempted_in_the_engines_words() {
        let act = Act::on("removing", "network", "blog");
        let error = act.failed(response(403, "network blog has active endpoints\n"));
        assert_eq!(error.to_string(), "removing network blog: network blog has active endpoints");
    }

    #[tokio::test]
    async fn a_call_that_takes_too_long_is_named() {
        let act = Act::on("stopping", "container", "web.1");
        let limit = Duration::from_millis(1);
        let error = act.within(limit, std::future::pending::<Result<(), Error>>()).await.unwrap_err();
        assert_eq!(error.to_string(), "stopping container web.1 took longer than 0 s");
    }
}
