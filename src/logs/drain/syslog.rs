//! Delivery over a stream of bytes: TCP or TLS.

use std::future::pending;

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::connect::{self, Pipe};
use super::task::{Batch, Trouble};
use super::{DrainSettings, LogDrains, frame};
use crate::model::{AppName, DrainUrl};

/// A syslog receiver, connected or not.
pub(super) struct Syslog {
    pipe: Option<Box<dyn Pipe>>,
}

impl Syslog {
    pub(super) fn new() -> Self {
        Self { pipe: None }
    }

    /// Connects unless it is connected.
    pub(super) async fn connect(&mut self, drains: &LogDrains, url: &DrainUrl) -> Result<(), Trouble> {
        if self.pipe.is_none() {
            self.pipe = Some(connect::open(drains, url).await.map_err(Trouble::Again)?);
        }
        Ok(())
    }

    /// Sends a batch over the connection there is. The protocol knows no receipt: what lay in buffers when a connection
    /// broke is lost, and a batch that was sent in part is sent again.
    pub(super) async fn deliver(
        &mut self,
        app: &AppName,
        batch: &Batch,
        settings: &DrainSettings,
    ) -> Result<(), Trouble> {
        let closed = || Trouble::Again("the receiver closed the connection".to_owned());
        let mut pipe = self.pipe.take().ok_or_else(closed)?;
        if hung_up(&mut pipe).now_or_never().is_some() {
            return Err(closed());
        }
        let mut bytes = Vec::new();
        batch.lines.iter().for_each(|line| frame::encode(app, line, "", &mut bytes));
        let write = async {
            pipe.write_all(&bytes).await?;
            pipe.flush().await
        };
        match timeout(settings.deliver, write).await {
            Ok(Ok(())) => self.pipe = Some(pipe),
            Ok(Err(_)) => return Err(Trouble::Again("the connection broke".to_owned())),
            Err(_) => {
                let limit = settings.deliver.as_secs_f32();
                return Err(Trouble::Again(format!("the receiver took nothing for {limit} s")));
            }
        }
        Ok(())
    }

    /// Waits until the receiver hangs up; for ever while there is no connection. Cancel-safe.
    pub(super) async fn lost(&mut self) {
        match &mut self.pipe {
            Some(pipe) => hung_up(pipe).await,
            None => pending().await,
        }
        self.pipe = None;
    }

    /// Says goodbye, so that the receiver knows that nothing was cut off.
    pub(super) async fn close(&mut self, settings: &DrainSettings) {
        if let Some(mut pipe) = self.pipe.take() {
            let _whether_it_listens = timeout(settings.last_words, pipe.shutdown()).await;
        }
    }
}

/// Reads what a receiver has no business to say, until it hangs up.
async fn hung_up(pipe: &mut Box<dyn Pipe>) {
    let mut ignored = [0; 256];
    while matches!(pipe.read(&mut ignored).await, Ok(read) if read > 0) {}
}
