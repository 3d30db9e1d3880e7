//! Containers that only a build needs: whatever happens to the build, they go.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::engine::{ContainerSpec, Engine, EngineError};

/// How long the removal of one container may take, and how often it is tried.
const REMOVAL_LIMIT: Duration = Duration::from_secs(20);
const REMOVAL_TRIES: u32 = 3;

/// A container that is removed when this is dropped, by a task that outlives the build's future: a build that went well
/// does not wait for it either.
pub(super) struct Scratch {
    engine: Arc<dyn Engine>,
    tasks: TaskTracker,
    id: String,
}

impl Scratch {
    /// Creates the container.
    ///
    /// Cancel-safe: the engine may create a container although nobody waits for the answer any more, so a task of its
    /// own waits for it, and removes what nobody came to take.
    pub async fn create(
        engine: &Arc<dyn Engine>,
        tasks: &TaskTracker,
        spec: ContainerSpec,
    ) -> Result<Self, EngineError> {
        let (give, take) = oneshot::channel();
        let (engine, owner) = (Arc::clone(engine), tasks.clone());
        tasks.spawn(async move {
            let created = engine.create_container(&spec).await;
            let scratch = created.map(|id| Self { engine, tasks: owner, id });
            // Where nobody takes it, it is dropped here.
            drop(give.send(scratch));
        });
        take.await
            .unwrap_or_else(|_| Err(EngineError::Unreachable("the task that creates the container ended early".into())))
    }

    /// Engine id.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let (engine, id) = (Arc::clone(&self.engine), std::mem::take(&mut self.id));
        // Without a runtime the process is ending; the next life finds the container by its label.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.tasks.spawn_on(remove(engine, id), &runtime);
        }
    }
}

async fn remove(engine: Arc<dyn Engine>, id: String) {
    for attempt in 1..=REMOVAL_TRIES {
        match tokio::time::timeout(REMOVAL_LIMIT, engine.remove_container(&id)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                tracing::warn!(container.id = %id, attempt, error = &error as &dyn std::error::Error, "cannot remove container {id} of a build");
            }
            Err(_) => tracing::warn!(container.id = %id, attempt, "removing container {id} of a build takes too long"),
        }
        tokio::time::sleep(Duration::from_secs(u64::from(attempt))).await;
    }
}
