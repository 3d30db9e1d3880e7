//! Log drains: give an app's log to receivers elsewhere, see how they do, take them away.

use super::{AppHandle, Error, Listing, Platform};
use crate::logs::DrainCounts;
use crate::model::{AppName, DrainUrl, LogDrain, LogDrainId};
use crate::store::{Page, StoreError, log_drains};

/// Most drains of one app: each reads the whole stream.
pub const DRAINS_MAX: usize = 5;

/// A drain and what came of it since it was added or the server started.
#[derive(Debug, Clone)]
pub struct LogDrainView {
    /// The drain.
    pub drain: LogDrain,
    /// What came of it.
    pub counts: DrainCounts,
}

impl Platform {
    /// An app's log drains in the order in which they were added.
    pub async fn log_drains(&self, handle: &AppHandle, page: Page) -> Result<Listing<LogDrainView>, Error> {
        let (store, app) = (&self.0.store, handle.app().id);
        let drains = log_drains::list(store.pool(), store.sealer(), app, page).await?;
        let Listing { total, entries } = Listing::of(page, drains, log_drains::count(store.pool(), app)).await?;
        Ok(Listing { total, entries: entries.into_iter().map(|drain| self.log_drain_view(drain)).collect() })
    }

    /// Gives an app a log drain: what is said from now on goes there, too.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a host that is not found or is this server, [`Error::Taken`] when the app has that drain,
    /// [`Error::Refused`] when it has [`DRAINS_MAX`].
    pub async fn add_log_drain(&self, handle: &AppHandle, url: DrainUrl) -> Result<LogDrainView, Error> {
        self.0.drains.check(&url).await.map_err(|why| Error::invalid("url", why))?;
        let (platform, handle) = (self.clone(), handle.clone());
        self.owned(async move {
            let (store, app) = (&platform.0.store, handle.app());
            // One change at a time: what is counted here is still so when the row is written.
            let _changing = platform.0.drains.changing().await;
            // Looking the receiver up took as long as its name service liked.
            platform.grant(&handle).check().await?;
            let present = log_drains::list(store.pool(), store.sealer(), app.id, Page::ALL).await?;
            if present.iter().any(|drain| drain.url == url) {
                return Err(Error::Taken { field: "url" });
            }
            if present.len() >= DRAINS_MAX {
                return Err(Error::Refused(format!("An app has at most {DRAINS_MAX} log drains; remove one first.")));
            }
            let gone = || Error::NotFound(format!("app '{}'", app.name));
            let drain = match log_drains::insert(store.pool(), store.sealer(), app.id, &url, handle.user().id).await {
                Ok(drain) => drain.ok_or_else(gone)?,
                Err(StoreError::Dangling) => return Err(gone()),
                Err(error) => return Err(error.into()),
            };
            platform.start_log_drain(&drain, &app.name).await?;
            platform.0.logs.note(app.id, "api", &format!("log drain {} added", url.shown()));
            Ok(platform.log_drain_view(drain))
        })
        .await
    }

    /// Takes a log drain away from an app. What it has not delivered yet is tried for a moment more.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is not that app's.
    pub async fn remove_log_drain(&self, handle: &AppHandle, id: LogDrainId) -> Result<(), Error> {
        let (platform, app) = (self.clone(), handle.app().id);
        self.owned(async move {
            let (store, missing) = (&platform.0.store, || Error::NotFound(format!("log drain {id}")));
            let _changing = platform.0.drains.changing().await;
            let present = log_drains::list(store.pool(), store.sealer(), app, Page::ALL).await?;
            let drain = present.into_iter().find(|drain| drain.id == id).ok_or_else(missing)?;
            if !log_drains::delete(store.pool(), id, app).await? {
                return Err(missing());
            }
            platform.0.drains.stop(id);
            platform.0.logs.note(app, "api", &format!("log drain {} removed", drain.url.shown()));
            Ok(())
        })
        .await
    }

    /// Starts all drains there are, before anything is said.
    pub(super) async fn start_log_drains(&self) -> Result<(), Error> {
        for (drain, app) in log_drains::all(self.0.store.pool(), self.0.store.sealer()).await? {
            self.start_log_drain(&drain, &app).await?;
        }
        Ok(())
    }

    async fn start_log_drain(&self, drain: &LogDrain, app: &AppName) -> Result<(), Error> {
        let started = self.0.drains.start(drain, app).await;
        started.map_err(|error| Error::Internal(anyhow::Error::new(error).context("reading the log stream")))
    }

    /// Waits until the server's stop has ended all drains, with what they could still deliver.
    pub async fn log_drains_ended(&self) {
        self.0.drains.ended().await;
    }

    fn log_drain_view(&self, drain: LogDrain) -> LogDrainView {
        let counts = self.0.drains.counts(drain.id).unwrap_or_default();
        LogDrainView { drain, counts }
    }
}
