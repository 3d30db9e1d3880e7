//! The builds at work, for whoever has to end one from outside.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::fingerprint::cache_name;
use super::{BuildError, Builder};
use crate::model::{App, AppId, OperationId};

/// The registry. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Running(Arc<Mutex<HashMap<OperationId, Entry>>>);

struct Entry {
    app: AppId,
    mark: String,
    end: Option<oneshot::Sender<BuildError>>,
}

/// Keeps a build in the registry.
pub(super) struct Place {
    all: Running,
    operation: OperationId,
}

impl Running {
    /// Enters a build; the receiver hears why it has to end, if it has to before the place is given up.
    pub fn enter(&self, operation: OperationId, app: AppId, mark: String) -> (Place, oneshot::Receiver<BuildError>) {
        let (end, ended) = oneshot::channel();
        self.lock().insert(operation.clone(), Entry { app, mark, end: Some(end) });
        (Place { all: self.clone(), operation }, ended)
    }

    /// The state behind the lock is valid between any two statements, even after a panic elsewhere.
    fn lock(&self) -> MutexGuard<'_, HashMap<OperationId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.lock().remove(&self.operation);
    }
}

impl Builder {
    /// Ends a build that is at work: it fails with `why`, and what it has in the engine goes. Returns whether there was one.
    pub fn end(&self, operation: &OperationId, why: BuildError) -> bool {
        let end = self.running.lock().get_mut(operation).and_then(|entry| entry.end.take());
        end.is_some_and(|end| end.send(why).is_ok())
    }

    /// Whether a build is at work.
    pub fn is_at_work(&self, operation: &OperationId) -> bool {
        self.running.lock().contains_key(operation)
    }

    /// Whose build the steps with that mark belong to: the app, and the operation of the build.
    pub fn marked(&self, mark: &str) -> Option<(AppId, OperationId)> {
        let running = self.running.lock();
        let (operation, entry) = running.iter().find(|(_, entry)| entry.mark == mark)?;
        Some((entry.app, operation.clone()))
    }

    /// What the engine tells steps of an app's builds by. Nothing that anybody could guess.
    pub(super) fn mark(&self, app: &App) -> String {
        format!("slipway-{}", cache_name(&self.settings.fingerprint_key, "mark", app))
    }
}
