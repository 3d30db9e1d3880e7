//! Starting new instances and waiting until each is healthy.

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::probe::Probe;
use super::{Event, Progress, RolloutError, Rollouts, Target, spec};
use crate::engine::Container;
use crate::model::{ConfigValue, Formation, Instance};
use crate::store::instances;

impl Rollouts {
    /// Starts all of `planned` beside whatever runs and waits until every one is healthy. The first that fails ends it;
    /// the caller removes what was started.
    pub(super) async fn launch(
        &self,
        target: &Target,
        planned: &[Instance],
        out: Progress<'_>,
    ) -> Result<(), RolloutError> {
        if planned.is_empty() {
            return Ok(());
        }
        self.refuse_unmet_tags(target).await?;
        let mut counts = Formation::default();
        planned.iter().for_each(|i| *counts.0.entry(i.process.clone()).or_default() += 1);
        out(Event::Line(&format!("-----> Launching v{}: {counts}", target.release.version)));
        let mut tx = self.0.store.begin().await?;
        for instance in planned {
            instances::insert(&mut *tx, instance).await?;
        }
        tx.commit().await.map_err(crate::store::StoreError::from)?;
        let settings = &self.0.settings;
        let labels = spec::app_labels(&settings.server_id, &target.app);
        self.0.engine.ensure_network(&spec::app_network(target.app.id), &labels).await?;
        let mut starts: FuturesUnordered<_> =
            planned.iter().map(|instance| self.launch_one(target, instance)).collect();
        while let Some(started) = starts.next().await {
            started?;
        }
        Ok(())
    }

    /// Every tag of the app's config must be a label of the node, with the same value (Deis, spec §5).
    async fn refuse_unmet_tags(&self, target: &Target) -> Result<(), RolloutError> {
        let tags = &target.config.limits.tags;
        if tags.is_empty() {
            return Ok(());
        }
        let labels = self.0.engine.info().await?.node_labels;
        let is_met = |(key, value): &(&String, &ConfigValue)| labels.get(*key) == Some(&value.to_string());
        let unmet: Vec<String> =
            tags.iter().filter(|tag| !is_met(tag)).map(|(key, value)| format!("{key}={value}")).collect();
        if unmet.is_empty() {
            return Ok(());
        }
        let present: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let present = if present.is_empty() { "none".to_owned() } else { present.join(", ") };
        Err(RolloutError::Unhealthy(vec![
            format!("no node has the label {}", unmet.join(" and ")),
            format!("labels of this node: {present}; unset the tag, or give the engine the label and start it again"),
        ]))
    }

    /// Starts one instance, notes where it answers.
    async fn launch_one(&self, target: &Target, instance: &Instance) -> Result<(), RolloutError> {
        let container = self.start_instance(target, instance).await?;
        let probe = Probe::of(&self.0.settings, target, &instance.process);
        let limit = self.0.settings.boot_timeout;
        if let Err(error) = probe.until_healthy(&*self.0.engine, &container.id, container.ip, limit).await {
            return Err(RolloutError::Unhealthy(self.report(target, instance, &container.id, &probe, &error).await));
        }
        let address = probe.address(container.ip);
        instances::set_address(self.0.store.pool(), instance.id, address).await?;
        self.note_ready(instance.id, address);
        Ok(())
    }

    /// Creates and starts the container of an instance and collects its output from the first line on.
    pub(super) async fn start_instance(&self, target: &Target, instance: &Instance) -> Result<Container, RolloutError> {
        let engine = &self.0.engine;
        let id = engine.create_container(&spec::container(&self.0.settings, target, instance)).await?;
        engine.start_container(&id).await?;
        self.0.collector.follow(instance.app_id, &instance.process, instance.number, instance.id, &id);
        Ok(engine.container(&id).await?)
    }
}
