//! Logs: the app's stream.

use std::io;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::{AppHandle, Error, Platform};
use crate::model::{AppId, LogFilter, LogLine};

impl Platform {
    /// The last lines of the app's stream that `filter` chooses, oldest first, across releases.
    pub async fn logs(&self, handle: &AppHandle, lines: usize, filter: LogFilter) -> Result<Vec<LogLine>, Error> {
        self.0.logs.tail_of(handle.app().id, lines, filter).await.map_err(unreadable)
    }

    /// The same, and from there on every line that comes, without a gap or a duplicate, until the app or the access to it is gone
    /// or the server stops. A reader that is too slow gets a line that says how many it missed. Dropping the stream ends it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when too many follow already.
    pub async fn follow_logs(
        &self,
        handle: &AppHandle,
        lines: usize,
        filter: LogFilter,
    ) -> Result<BoxStream<'static, LogLine>, Error> {
        let followed = self.0.logs.follow(handle.app().id, lines, filter).await.map_err(unreadable)?;
        let followed = followed.take_until(self.0.stop.clone().cancelled_owned());
        Ok(followed.take_until(self.grant(handle).revoked()).boxed())
    }

    /// Says in the app's stream that a release serves from here on, and of whose doing.
    pub(super) fn mark_release(&self, app: AppId, version: i64, by: &str, what: &str) {
        self.0.logs.note(app, "release", &format!("v{version} by {by}: {what}"));
    }

    /// [`Platform::mark_release`] with the summary of a release, which begins with who made it.
    pub(super) fn mark_release_as(&self, app: AppId, version: i64, summary: &str) {
        let (by, what) = summary.split_once(' ').unwrap_or((summary, ""));
        self.mark_release(app, version, by, what);
    }
}

fn unreadable(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::QuotaExceeded {
        return Error::Unavailable(error.to_string());
    }
    Error::Internal(anyhow::Error::new(error).context("reading the log stream"))
}
