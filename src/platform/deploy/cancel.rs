//! Builds that somebody may call off.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::super::{AppHandle, Error, Platform};
use crate::model::{BuildId, BuildStatus};

/// The builds at work in this process. Cheap to clone.
#[derive(Clone, Default)]
pub struct RunningBuilds(Arc<Mutex<HashMap<BuildId, CancellationToken>>>);

/// Keeps a build among those that can be called off.
pub(super) struct Running {
    all: RunningBuilds,
    build: BuildId,
}

impl RunningBuilds {
    /// `cancel` calls the build off, until the returned guard is dropped.
    pub(super) fn enter(&self, build: BuildId, cancel: CancellationToken) -> Running {
        self.lock().insert(build, cancel);
        Running { all: self.clone(), build }
    }

    /// The state behind the lock is valid between any two statements, even after a panic elsewhere.
    fn lock(&self) -> MutexGuard<'_, HashMap<BuildId, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.all.lock().remove(&self.build);
    }
}

impl Platform {
    /// Calls a build off, as Ctrl-C of its pusher does; yields at once. Its containers go within seconds.
    ///
    /// # Errors
    /// [`Error::NotFound`], and [`Error::Conflict`] for a build that is over or whose release is cut already.
    pub async fn cancel_build(&self, handle: &AppHandle, build: BuildId) -> Result<(), Error> {
        let record = self.build_record(handle, build).await?;
        if let Some(cancel) = self.0.running_builds.lock().get(&build) {
            cancel.cancel();
            return Ok(());
        }
        Err(Error::Conflict(match record.status {
            BuildStatus::Pending => {
                format!("build {build} is past the point where it can be cancelled; roll back instead")
            }
            BuildStatus::Succeeded | BuildStatus::Failed => format!("build {build} is over: it has {}", record.status),
        }))
    }
}
