//! The old instances: no new requests, then the ones in flight end, then SIGTERM, grace, SIGKILL.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::{Event, Progress, Rollouts, spec};
use crate::engine::{Container, Engine, EngineError, Labels, label, unless_in_use};
use crate::model::{App, AppName, Instance, InstanceId};
use crate::route::Upstream;
use crate::store::instances;

/// How often upgraded connections are counted.
const COUNT: Duration = Duration::from_millis(50);
/// Between two reports of what is still in flight, while that changes.
const REPORT: Duration = Duration::from_secs(1);

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
        let ended = self.empty_and_stop(old, out).await;
        for (instance, ended) in old.iter().zip(ended) {
            let forgotten = async {
                ended?;
                self.note_gone(instance.id);
                anyhow::Ok(instances::delete(self.0.store.pool(), instance.id).await?)
            };
            if let Err(error) = forgotten.await {
                tracing::warn!(app.name = %app.name, instance.id = %instance.id, %error, "cannot stop an old instance yet");
            }
        }
    }

    /// Lets requests end at instances that are out of the route table, tells how many there still are, and stops each
    /// instance as soon as it has none. Yields how each stop went, in their order.
    pub(super) async fn empty_and_stop(&self, old: &[Instance], out: Progress<'_>) -> Vec<Result<(), EngineError>> {
        let Some(first) = old.first() else { return Vec::new() };
        let upstreams: Vec<Option<Arc<Upstream>>> = {
            let mut leaving = self.0.leaving.lock().expect("no panic while held");
            old.iter().map(|instance| leaving.remove(&instance.id)).collect()
        };
        let telling = tell_counts(first.version, &upstreams, out);
        let limit = self.0.settings.drain_timeout;
        let stopping = join_all(old.iter().zip(&upstreams).map(async |(instance, upstream)| {
            if let Some(upstream) = upstream {
                self.empty(instance, upstream, limit).await;
            }
            self.stop_instance(instance.id).await
        }));
        // In this order the counts are told before anything has ended.
        tokio::select! {
            biased;
            never = telling => match never {},
            stopped = stopping => stopped,
        }
    }

    /// Waits until an upstream has no requests, at most `limit`, and no upgraded connections, at most their own grace; then
    /// ends what is left.
    pub(super) async fn empty(&self, instance: &Instance, upstream: &Upstream, limit: Duration) {
        let grace = self.0.settings.upgrade_grace;
        let end = Instant::now() + grace;
        let drained = timeout(limit, upstream.drained()).await;
        // Only a request becomes an upgraded connection: none is added any more.
        while drained.is_ok() && upstream.upgraded() > 0 && Instant::now() < end {
            sleep(COUNT).await;
        }
        if drained.is_err() {
            let (name, count, seconds) = (instance.label(), upstream.in_flight(), limit.as_secs());
            let text = format!("{name} still had {} after {seconds} s; ending them", plural(count, "request"));
            self.0.logs.note(instance.app_id, "drain", &text);
        } else if upstream.upgraded() > 0 {
            let count = plural(upstream.upgraded(), "websocket");
            let text = format!("{} still had {count} after {} s; closing them", instance.label(), grace.as_secs());
            self.0.logs.note(instance.app_id, "drain", &text);
        }
        upstream.cut();
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
        unless_in_use(crate::engine::remove_volumes(&*self.0.engine, &labels).await)
    }
}

/// Tells how much is in flight at old instances whenever that has changed, until it is dropped.
async fn tell_counts(version: i64, upstreams: &[Option<Arc<Upstream>>], out: Progress<'_>) -> std::convert::Infallible {
    let mut told = (0, 0);
    loop {
        let all = upstreams.iter().flatten();
        let now = all.fold((0, 0), |sum, upstream| (sum.0 + upstream.in_flight(), sum.1 + upstream.upgraded()));
        if now != told && now != (0, 0) {
            out(Event::Line(&format!("       draining v{version}: {}", in_words(now))));
        }
        told = now;
        sleep(REPORT).await;
    }
}

/// `3 requests, 2 websockets`
fn in_words((requests, upgraded): (usize, usize)) -> String {
    let parts = [(requests, "request"), (upgraded, "websocket")];
    let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| plural(*count, what));
    parts.collect::<Vec<_>>().join(", ")
}

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_said_in_words() {
        assert_eq!(in_words((3, 2)), "3 requests, 2 websockets");
        assert_eq!(in_words((1, 0)), "1 request");
        assert_eq!(in_words((0, 1)), "1 websocket");
    }
}
