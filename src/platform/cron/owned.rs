//! What this process knows of the runs that it follows.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::model::InstanceId;

/// The runs of scheduled commands that tasks of this process start and follow. Cheap to clone.
#[derive(Clone, Default)]
pub struct CronRuns(Arc<Shared>);

#[derive(Default)]
struct Shared {
    known: Mutex<Known>,
    /// A run has ended, and another may have its turn.
    freed: Notify,
}

#[derive(Default)]
struct Known {
    owned: HashMap<InstanceId, Hold>,
    /// Runs of which the app's log says already that they wait.
    told: HashSet<InstanceId>,
}

/// How a run is called off.
#[derive(Clone, Default)]
struct Hold {
    cancel: CancellationToken,
    why: String,
}

/// A run in the hands of one task; given up when this is dropped.
pub(super) struct Owned {
    all: CronRuns,
    id: InstanceId,
    /// Fires when the run is called off.
    pub cancel: CancellationToken,
}

impl CronRuns {
    /// Takes a run; `None` when another task has it.
    pub(super) fn own(&self, id: InstanceId) -> Option<Owned> {
        let mut known = self.lock();
        if known.owned.contains_key(&id) {
            return None;
        }
        let hold = Hold::default();
        known.owned.insert(id, hold.clone());
        Some(Owned { all: self.clone(), id, cancel: hold.cancel })
    }

    /// Calls off a run that a task of this process has. The first reason counts.
    pub(super) fn call_off(&self, id: InstanceId, why: &str) {
        if let Some(hold) = self.lock().owned.get_mut(&id)
            && !hold.cancel.is_cancelled()
        {
            why.clone_into(&mut hold.why);
            hold.cancel.cancel();
        }
    }

    /// Whether it was not said yet that this run waits.
    pub(super) fn is_news(&self, id: InstanceId) -> bool {
        self.lock().told.insert(id)
    }

    /// Forgets what was said of a run that waits no longer.
    pub(super) fn forget(&self, id: InstanceId) {
        self.lock().told.remove(&id);
    }

    /// Has the schedules looked at.
    pub(in crate::platform) fn wake(&self) {
        self.0.freed.notify_one();
    }

    /// Waits for [`CronRuns::wake`], which may have been before. Cancel-safe.
    pub(super) async fn woken(&self) {
        self.0.freed.notified().await;
    }

    /// The state behind the lock is valid between any two statements, even after a panic elsewhere.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Owned {
    /// Why it was called off.
    pub(super) fn why(&self) -> String {
        self.all.lock().owned.get(&self.id).map(|hold| hold.why.clone()).unwrap_or_default()
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.all.lock().owned.remove(&self.id);
    }
}
