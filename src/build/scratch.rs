//! Containers that only a build needs: whatever happens to the build, they go.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
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
    /// One of its own, which goes with it.
    network: Option<String>,
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
        Self::begin(engine, tasks, spec, None).await
    }

    /// The same for a container whose network is made for it, with its labels.
    pub async fn create_apart(
        engine: &Arc<dyn Engine>,
        tasks: &TaskTracker,
        spec: ContainerSpec,
    ) -> Result<Self, EngineError> {
        let network = spec.network.clone();
        Self::begin(engine, tasks, spec, network).await
    }

    async fn begin(
        engine: &Arc<dyn Engine>,
        tasks: &TaskTracker,
        spec: ContainerSpec,
        network: Option<String>,
    ) -> Result<Self, EngineError> {
        let (give, take) = oneshot::channel();
        // Dropped at whatever point, it removes what is there by then.
        let mut scratch = Self { engine: Arc::clone(engine), tasks: tasks.clone(), id: String::new(), network };
        tasks.spawn(async move {
            let created = scratch.make(&spec).await;
            // Where nobody takes it, it is dropped here.
            drop(give.send(created.map(|()| scratch)));
        });
        take.await
            .unwrap_or_else(|_| Err(EngineError::Unreachable("the task that creates the container ended early".into())))
    }

    async fn make(&mut self, spec: &ContainerSpec) -> Result<(), EngineError> {
        if let Some(network) = &self.network {
            self.engine.ensure_network(network, &spec.labels).await?;
        }
        self.id = self.engine.create_container(spec).await?;
        Ok(())
    }

    /// Engine id.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let (engine, id, network) = (Arc::clone(&self.engine), std::mem::take(&mut self.id), self.network.take());
        // Without a runtime the process is ending; the next life finds both by their labels.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let remove = async move {
                if !id.is_empty() {
                    remove("container", &id, || engine.remove_container(&id)).await;
                }
                if let Some(network) = network {
                    remove("network", &network, || engine.remove_network(&network)).await;
                }
            };
            self.tasks.spawn_on(remove, &runtime);
        }
    }
}

async fn remove<'a>(kind: &str, name: &str, removal: impl Fn() -> BoxFuture<'a, Result<(), EngineError>>) {
    for attempt in 1..=REMOVAL_TRIES {
        match tokio::time::timeout(REMOVAL_LIMIT, removal()).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                tracing::warn!(
                    name,
                    attempt,
                    error = &error as &dyn std::error::Error,
                    "cannot remove a {kind} of a build"
                );
            }
            Err(_) => tracing::warn!(name, attempt, "removing a {kind} of a build takes too long"),
        }
        tokio::time::sleep(Duration::from_secs(u64::from(attempt))).await;
    }
}
