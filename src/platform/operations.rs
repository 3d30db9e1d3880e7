//! Running operations: the lock, the heartbeat, the outcome.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{AppHandle, Error, Platform};
use crate::model::{App, Operation, OperationId, OperationKind, OperationStatus, Timestamp};
use crate::rollout::Event;
use crate::store::{Journal, StoreError, apps, operations};
use crate::telemetry::metrics::metrics;

/// Between two signs of life of a running operation.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);
/// Between two looks at a lock that somebody else holds.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// How long a change waits for the one before it.
pub(super) const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Takes what there is to tell for whoever watches an operation: a pusher, or nobody.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(Event<'_>) + Send + Sync>);

impl Progress {
    /// Everything goes to `sink`, which must neither block for long nor fail.
    pub fn new(sink: impl Fn(Event<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Nobody watches.
    pub fn none() -> Self {
        Self::new(|_| {})
    }

    /// One line.
    pub fn line(&self, text: &str) {
        self.tell(Event::Line(text));
    }

    /// Whatever there is to tell.
    pub fn tell(&self, event: Event<'_>) {
        (self.0)(event);
    }
}

/// An operation that holds its app's lock, with its journal and its heartbeat.
///
/// Dropping it without [`Live::end`] leaves the record running without a heartbeat; the watch over stale operations then
/// settles the app and ends it.
pub struct Live {
    /// Where the operation writes down each step.
    pub journal: Journal,
    /// Whether the rows of a failed change are still to be undone.
    is_unsettled: bool,
    owned: Owned,
    _heartbeat: DropGuard,
}

/// The operations that tasks of this very process are working on. However late their signs of life, they are not stale.
#[derive(Clone, Default)]
pub struct OwnedOperations(Arc<Ownership>);

#[derive(Default)]
struct Ownership {
    ids: Mutex<HashSet<OperationId>>,
    /// Outcomes of operations that have ended and could not be recorded or settled.
    left: Mutex<HashMap<OperationId, (OperationStatus, String)>>,
    /// Wakes who waits for an app's lock.
    given_up: Notify,
}

impl OwnedOperations {
    /// Whether a task of this process is working on the operation.
    pub fn contains(&self, id: &OperationId) -> bool {
        self.0.ids.lock().expect("no panic while held").contains(id)
    }

    /// How an operation ended whose end could not be recorded or settled.
    pub(super) fn left(&self, id: &OperationId) -> Option<(OperationStatus, String)> {
        self.0.left.lock().expect("no panic while held").get(id).cloned()
    }

    /// The end of that operation has been settled and recorded.
    pub(super) fn forget_left(&self, id: &OperationId) {
        self.0.left.lock().expect("no panic while held").remove(id);
    }

    /// How many operations tasks of this process are working on.
    pub fn count(&self) -> usize {
        self.0.ids.lock().expect("no panic while held").len()
    }

    pub(super) fn own(&self, id: OperationId) -> Owned {
        self.0.ids.lock().expect("no panic while held").insert(id.clone());
        Owned { all: self.clone(), id }
    }
}

/// Gives an operation up when its task ends, however it ends.
pub(super) struct Owned {
    all: OwnedOperations,
    id: OperationId,
}

impl Owned {
    /// Leaves the record of the operation's end to the watch over operations.
    fn leave(&self, status: OperationStatus, text: String) {
        self.all.0.left.lock().expect("no panic while held").insert(self.id.clone(), (status, text));
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.all.0.ids.lock().expect("no panic while held").remove(&self.id);
        self.all.0.given_up.notify_waiters();
    }
}

impl Live {
    /// The operation.
    pub fn operation(&self) -> &Operation {
        self.journal.operation()
    }

    /// Records the outcome and gives the lock back.
    pub async fn end<T>(self, outcome: Result<T, Error>) -> Result<T, Error> {
        let (status, text) = match &outcome {
            Ok(_) => (OperationStatus::Succeeded, String::new()),
            Err(Error::Cancelled) => (OperationStatus::Cancelled, String::new()),
            Err(error) => (OperationStatus::Failed, error.to_string()),
        };
        let (operation, took) = (self.operation(), self.operation().started_at.elapsed());
        metrics().operation(operation.kind, status, took);
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(operation.id = %operation.id, %status, duration_ms, "an operation ended");
        if self.is_unsettled {
            self.owned.leave(status, text);
        } else if let Err(error) = self.journal.finish(status, &text).await {
            // The outcome itself stands; the lock is given back as soon as that can be recorded.
            tracing::error!(operation.id = %self.operation().id, error = ?error, "cannot record the end of an operation");
            self.owned.leave(status, text);
        }
        outcome
    }

    /// The rows of a failed change could not be undone: that is left, with the app's lock, to the watch over operations.
    pub(super) fn leave_unsettled(&mut self) {
        self.is_unsettled = true;
    }
}

impl Platform {
    /// Takes the app's lock for a change. While somebody else holds it, says so to `out` and waits.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the app goes away meanwhile, [`Error::Denied`] when the access to it does, [`Error::Cancelled`] when `cancel` fires,
    /// [`Error::Unavailable`] after half an hour or when the server stops.
    pub(super) async fn begin(
        &self,
        kind: OperationKind,
        handle: &AppHandle,
        out: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Live, Error> {
        let live = self.begin_as(kind, handle, handle.user().username.as_str(), out, cancel).await?;
        // It may have waited for a long time.
        match self.grant(handle).check().await {
            Ok(()) => Ok(live),
            Err(error) => live.end(Err(error)).await,
        }
    }

    /// As [`Platform::begin`], on behalf of `actor`, where the handle's user did not ask for it.
    pub(super) async fn begin_as(
        &self,
        kind: OperationKind,
        handle: &AppHandle,
        actor: &str,
        out: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Live, Error> {
        let deadline = Instant::now() + PATIENCE;
        let mut announced = None;
        loop {
            // Listened for from before the look, so that an end in between is not missed.
            let mut given_up = pin!(self.0.owned.0.given_up.notified());
            given_up.as_mut().enable();
            let app = self.present(handle.app()).await?;
            match operations::begin(self.0.store.pool(), kind, &app, actor).await {
                Ok(operation) => {
                    let span = tracing::Span::current();
                    span.record("operation.id", operation.id.as_str())
                        .record("operation.kind", operation.kind.as_str());
                    span.record("app.name", app.name.as_str());
                    tracing::info!(actor, "an operation begins");
                    let live = self.live(operation);
                    live.journal.pause().await;
                    return Ok(live);
                }
                Err(StoreError::Duplicate) => {}
                Err(error) => return Err(error.into()),
            }
            let holder = operations::live_of(self.0.store.pool(), app.id).await?;
            if let Some(holder) = holder.filter(|holder| announced.as_ref() != Some(&holder.id)) {
                out.line(&waiting(&holder));
                announced = Some(holder.id);
            }
            if Instant::now() > deadline {
                return Err(Error::Unavailable(format!("app '{}' is busy; try again later", app.name)));
            }
            tokio::select! {
                () = cancel.cancelled() => return Err(Error::Cancelled),
                () = self.0.stop.cancelled() => return Err(Error::Unavailable("Slipway is stopping; try again".into())),
                () = given_up => {}
                () = sleep(LOOK) => {}
            }
        }
    }

    async fn present(&self, app: &App) -> Result<App, Error> {
        let found = apps::by_id(self.0.store.pool(), app.id).await?.filter(|app| !app.is_destroying);
        found.ok_or_else(|| Error::NotFound(format!("app '{}'", app.name)))
    }

    /// Starts the heartbeat of an operation that this server owns.
    pub(super) fn live(&self, operation: Operation) -> Live {
        let alive = CancellationToken::new();
        let (store, id, token) = (self.0.store.clone(), operation.id.clone(), alive.clone());
        self.0.tracker.spawn(async move {
            loop {
                tokio::select! {
                    () = token.cancelled() => return,
                    () = sleep(HEARTBEAT) => {}
                }
                if let Err(error) = operations::heartbeat(store.pool(), &id).await {
                    tracing::warn!(operation.id = %id, %error, "cannot show a sign of life");
                }
            }
        });
        let owned = self.0.owned.own(operation.id.clone());
        let journal = Journal::new(self.0.store.clone(), operation);
        Live { journal, is_unsettled: false, owned, _heartbeat: alive.drop_guard() }
    }
}

fn waiting(holder: &Operation) -> String {
    let seconds = Timestamp::now().millis().saturating_sub(holder.started_at.millis()) / 1000;
    let ago = if seconds < 1 { "just now".to_owned() } else { format!("{seconds} s ago") };
    format!("-----> Waiting for a {} by {} (started {ago})", holder.kind, holder.actor)
}
