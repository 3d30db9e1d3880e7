//! The old instances: no new requests, then the ones in flight end, then SIGTERM, grace, SIGKILL.

use futures_util::future::join_all;
use tokio::time::timeout;

use super::{Event, Progress, Rollouts, spec};
use crate::engine::{Container, Engine, EngineError, Labels, label, unless_in_use};
use crate::model::{App, AppName, Instance, InstanceId};
use crate::store::instances;

/// Names of images of apps begin so.
const IMAGE_PREFIX: &str = "slipway/app-";

impl Rollouts {
    /// Drains, stops and forgets instances that are draining in the database and out of the route table. What fails is
    /// logged and left in state draining; the supervisor comes back to it.
    pub(super) async fn drain(&self, app: &App, old: &[Instance], out: Progress<'_>) {
        let Some(first) = old.first() else { return };
        out(Event::Line(&format!(
            "-----> Draining v{}: {} instance{}",
            first.version,
            old.len(),
            if old.len() == 1 { "" } else { "s" }
        )));
        let drained = join_all(old.iter().map(|instance| self.drain_one(instance))).await;
        for (instance, result) in old.iter().zip(drained) {
            if let Err(error) = result {
                tracing::warn!(app.name = %app.name, instance.id = %instance.id, %error, "cannot stop an old instance yet");
            }
        }
    }

    async fn drain_one(&self, instance: &Instance) -> anyhow::Result<()> {
        let upstream = self.0.leaving.lock().expect("no panic while held").remove(&instance.id);
        if let Some(upstream) = upstream {
            if timeout(self.0.settings.drain_timeout, upstream.drained()).await.is_err() {
                let text = format!(
                    "{} still had {} requests after {} s; ending them",
                    instance.label(),
                    upstream.in_flight(),
                    self.0.settings.drain_timeout.as_secs()
                );
                self.0.logs.note(instance.app_id, "drain", &text);
            }
            upstream.cut();
        }
        self.stop_instance(instance.id).await?;
        self.note_gone(instance.id);
        instances::delete(self.0.store.pool(), instance.id).await?;
        Ok(())
    }

    /// Ends and removes whatever container an instance has.
    pub(super) async fn stop_instance(&self, instance: InstanceId) -> Result<(), EngineError> {
        for container in self.0.engine.containers(&self.instance_labels(instance)).await? {
            self.0.engine.stop_container(&container.id, self.0.settings.stop_grace).await?;
            self.0.collector.settled(instance).await;
            self.0.engine.remove_container(&container.id).await?;
        }
        Ok(())
    }

    pub(super) fn instance_labels(&self, instance: InstanceId) -> Labels {
        crate::engine::labels([(label::SERVER, &self.0.settings.server_id), (label::INSTANCE, &instance.to_string())])
    }

    /// Makes a new app known to the router, which answers for it with 503 until it has instances.
    pub fn add_app(&self, name: &AppName) {
        self.0.table.add_app(name);
    }

    /// Takes an app that is marked as destroying out of the route table and stops and removes everything it runs, one-offs
    /// too. Idempotent.
    ///
    /// # Errors
    /// [`EngineError`] of the first thing that could not be removed; calling again goes on from there.
    pub async fn destroy(&self, app: &App) -> Result<(), EngineError> {
        self.0.table.remove_app(&app.name);
        self.0.one_offs.end_all(app.id).await;
        let labels =
            crate::engine::labels([(label::SERVER, &self.0.settings.server_id), (label::APP, &app.id.to_string())]);
        let containers = own_containers(&*self.0.engine, &labels).await?;
        let stops = containers.iter().map(|c| self.0.engine.stop_container(&c.id, self.0.settings.stop_grace));
        join_all(stops).await.into_iter().collect::<Result<(), _>>()?;
        remove_app_objects(&*self.0.engine, &labels).await?;
        self.0.engine.remove_network(&spec::app_network(app.id)).await?;
        unless_in_use(self.0.engine.remove_volume(&spec::cache_volume(app.id)).await)
    }
}

/// Containers with `labels` that Slipway made.
async fn own_containers(engine: &dyn Engine, labels: &Labels) -> Result<Vec<Container>, EngineError> {
    let mut containers = engine.containers(labels).await?;
    containers.retain(|container| container.purpose().is_some());
    Ok(containers)
}

/// Removes all containers and images that carry `labels`. An image that somebody else's container uses is left.
pub async fn remove_app_objects(engine: &dyn Engine, labels: &Labels) -> Result<(), EngineError> {
    for container in own_containers(engine, labels).await? {
        engine.remove_container(&container.id).await?;
    }
    for image in engine.images(labels).await? {
        // An image that somebody made from one of ours has its labels, and a name that is not ours to take away.
        for tag in image.tags.iter().filter(|tag| tag.starts_with(IMAGE_PREFIX)) {
            unless_in_use(engine.remove_image(tag).await)?;
        }
        if image.tags.is_empty() {
            unless_in_use(engine.remove_image(&image.id).await)?;
        }
    }
    Ok(())
}
