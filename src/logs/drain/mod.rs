//! Log drains: each takes one app's stream to one receiver elsewhere, in a task of its own.
//!
//! A drain reads the stream as any follower does. So what waits for a slow receiver lies in the app's files, whose size is
//! bounded, and never in memory; what is rotated away meanwhile is counted, and the receiver is told.

mod connect;
mod frame;
mod https;
mod syslog;
mod task;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tokio::sync::OnceCell;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::store::LogStore;
use crate::model::{AppName, DrainUrl, LogDrain, LogDrainId, LogFilter, Timestamp};
use crate::outbound::Outbound;

/// How drains work.
#[derive(Clone)]
pub struct DrainSettings {
    /// Where a receiver may be.
    pub outbound: Outbound,
    /// Certificates that are trusted beside the system's (which `SSL_CERT_FILE` may name).
    pub trusted: Vec<CertificateDer<'static>>,
    /// How long looking up a host, connecting and a TLS handshake may take, each.
    pub connect: Duration,
    /// How long a receiver may take for one batch of lines, an answer over HTTP included.
    pub deliver: Duration,
    /// First and longest pause after a failure; each is half as long again or half shorter by chance.
    pub pause: (Duration, Duration),
    /// How long a drain that is to end goes on with what there still is.
    pub last_words: Duration,
}

impl Default for DrainSettings {
    /// Only public addresses, 10 s to connect, 15 s per batch, pauses of 1 s to 60 s, 2 s for the last lines.
    fn default() -> Self {
        Self {
            outbound: Outbound::default(),
            trusted: Vec::new(),
            connect: Duration::from_secs(10),
            deliver: Duration::from_secs(15),
            pause: (Duration::from_secs(1), Duration::from_secs(60)),
            last_words: Duration::from_secs(2),
        }
    }
}

impl fmt::Debug for DrainSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainSettings").field("outbound", &self.outbound).finish_non_exhaustive()
    }
}

/// What came of a drain since it was started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DrainCounts {
    /// Lines that the receiver took; over syslog, that were sent.
    pub delivered: u64,
    /// Lines that were lost: rotated away before they could be delivered, or refused for good.
    pub dropped: u64,
    /// Tries that failed.
    pub errors: u64,
    /// Why the last of them did. Names neither login nor query of the address.
    pub last_error: Option<String>,
    /// Since when the receiver takes lines; `None` while it does not.
    pub connected_since: Option<Timestamp>,
}

/// What a drain's task and whoever asks for its counts share.
#[derive(Clone, Default)]
struct Counts(Arc<Mutex<DrainCounts>>);

impl Counts {
    fn lock(&self) -> MutexGuard<'_, DrainCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The drains of all apps. Cheap to clone.
#[derive(Clone)]
pub struct LogDrains(Arc<Shared>);

struct Shared {
    store: LogStore,
    settings: DrainSettings,
    tracker: TaskTracker,
    stop: CancellationToken,
    running: Mutex<HashMap<LogDrainId, Running>>,
    /// Held by whoever changes which drains there are.
    changing: tokio::sync::Mutex<()>,
    /// Read from the system when the first drain needs it.
    tls: OnceCell<Arc<ClientConfig>>,
}

struct Running {
    counts: Counts,
    _stop: DropGuard,
}

impl LogDrains {
    /// Drains of that store; none runs until [`LogDrains::start`]. Their tasks end when `stop` is cancelled, after
    /// [`DrainSettings::last_words`] at most.
    pub fn new(store: LogStore, settings: DrainSettings, stop: CancellationToken) -> Self {
        let (tracker, running) = (TaskTracker::new(), Mutex::default());
        let (changing, tls) = (tokio::sync::Mutex::default(), OnceCell::new());
        Self(Arc::new(Shared { store, settings, tracker, stop, running, changing, tls }))
    }

    /// Takes what is said in the app's stream from now on to the drain's receiver, until [`LogDrains::stop`], the end of
    /// the app or that of the server. A drain that runs already goes on as it is.
    ///
    /// # Errors
    /// When the app's files cannot be read; then the drain does not run.
    pub async fn start(&self, drain: &LogDrain, app: &AppName) -> io::Result<()> {
        let (_, follower) = self.0.store.follower(drain.app_id, 0, LogFilter::default()).await?;
        if let Entry::Vacant(place) = self.running().entry(drain.id) {
            let (stop, counts) = (self.0.stop.child_token(), Counts::default());
            let task = task::Task::new(self.clone(), drain.clone(), app.clone(), counts.clone(), stop.clone());
            self.0.tracker.spawn(task.run(follower));
            place.insert(Running { counts, _stop: stop.drop_guard() });
        }
        Ok(())
    }

    /// Ends a drain; what it has not delivered is tried for [`DrainSettings::last_words`] more.
    pub fn stop(&self, drain: LogDrainId) {
        self.running().remove(&drain);
    }

    /// What came of a drain; `None` when it does not run.
    pub fn counts(&self, drain: LogDrainId) -> Option<DrainCounts> {
        let counts = self.running().get(&drain)?.counts.lock().clone();
        Some(counts)
    }

    /// Waits until the server's stop has ended every drain. Cancel-safe.
    pub async fn ended(&self) {
        self.0.stop.cancelled().await;
        self.0.tracker.close();
        self.0.tracker.wait().await;
    }

    /// For whoever changes which drains there are, one after the other. Cancel-safe.
    pub async fn changing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.changing.lock().await
    }

    /// Whether a drain may go there.
    ///
    /// # Errors
    /// What is wrong with the address, as a sentence.
    pub async fn check(&self, url: &DrainUrl) -> Result<(), String> {
        connect::pin(url, &self.0.settings).await.map(drop)
    }

    fn running(&self) -> MutexGuard<'_, HashMap<LogDrainId, Running>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What TLS connections are made with.
    async fn tls(&self) -> Arc<ClientConfig> {
        let load = async || {
            let trusted = self.0.settings.trusted.clone();
            let loaded = tokio::task::spawn_blocking(move || connect::tls_config(&trusted)).await;
            Arc::new(loaded.expect("reading certificates does not panic"))
        };
        Arc::clone(self.0.tls.get_or_init(load).await)
    }
}
