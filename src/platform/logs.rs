//! Logs: the app's stream.

use super::{AppHandle, Error, Platform};
use crate::model::LogLine;

impl Platform {
    /// The last lines of the app's stream, oldest first, across releases.
    pub async fn logs(&self, handle: &AppHandle, lines: usize) -> Result<Vec<LogLine>, Error> {
        let tail = self.0.logs.tail(handle.app().id, lines).await;
        tail.map_err(|error| Error::Internal(anyhow::Error::new(error).context("reading the log stream")))
    }
}
