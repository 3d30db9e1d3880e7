//! Starting new instances and waiting until each is healthy.

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::health::Contract;
use super::probe::{Failed, ProbeError, Subject};
use super::{Event, Progress, RolloutError, Rollouts, Target, spec};
use crate::engine::{Container, ContainerState};
use crate::model::{ConfigValue, Instance};
use crate::store::instances;

impl Rollouts {
    /// Refuses what cannot come up, then records all of `planned`, before anything of them exists in the engine.
    pub(super) async fn prepare(&self, target: &Target, planned: &[Instance]) -> Result<(), RolloutError> {
        if planned.is_empty() {
            return Ok(());
        }
        self.refuse_unmet_tags(target).await?;
        for instance in planned {
            Contract::of(&self.0.settings, target, &instance.process)?;
        }
        let mut tx = self.0.store.begin().await?;
        for instance in planned {
            instances::insert(&mut *tx, instance).await?;
        }
        tx.commit().await.map_err(crate::store::StoreError::from)?;
        Ok(())
    }

    /// Starts recorded instances beside whatever runs and waits until every one is healthy. The first that fails ends it;
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
        self.ensure_network(target).await?;
        let mut starts: FuturesUnordered<_> =
            planned.iter().map(|instance| self.launch_one(target, instance)).collect();
        while let Some(started) = starts.next().await {
            for (name, failed) in started? {
                out(Event::Line(&format!(
                    " !     {name} fails its check {}: {} (it only warns)",
                    failed.check, failed.last
                )));
            }
        }
        Ok(())
    }

    /// Refuses instances that were healthy and have ended since, while they waited for the others.
    pub(super) async fn refuse_ended(&self, target: &Target, started: &[Instance]) -> Result<(), RolloutError> {
        for instance in started {
            let containers = self.0.engine.containers(&self.instance_labels(instance.id)).await?;
            if let Some(ContainerState::Exited(status)) = containers.first().map(|container| &container.state) {
                let error = ProbeError::Exited(*status);
                let contract = Contract::of(&self.0.settings, target, &instance.process)?;
                let lines = self.report(target, instance, &containers[0].id, &contract, &error).await;
                return Err(RolloutError::Unhealthy(lines));
            }
        }
        Ok(())
    }

    pub(super) async fn ensure_network(&self, target: &Target) -> Result<(), RolloutError> {
        let labels = spec::app_labels(&self.0.settings.server_id, &target.app);
        Ok(self.0.engine.ensure_network(&spec::app_network(target.app.id), &labels).await?)
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

    /// Starts one instance, notes where it answers; yields the checks that failed and may.
    pub(super) async fn launch_one(
        &self,
        target: &Target,
        instance: &Instance,
    ) -> Result<Vec<(String, Failed)>, RolloutError> {
        let contract = Contract::of(&self.0.settings, target, &instance.process)?;
        let container = self.start_instance(target, instance).await?;
        let subject = Subject::new(&self.0.settings, target, &container);
        let limit = self.0.settings.boot_timeout;
        let warned = match subject.until_healthy(&*self.0.engine, &contract.startup, limit).await {
            Ok(warned) => warned,
            Err(error) => {
                let lines = self.report(target, instance, &container.id, &contract, &error).await;
                return Err(RolloutError::Unhealthy(lines));
            }
        };
        let address = spec::address(target, &instance.process, container.ip);
        instances::set_address(self.0.store.pool(), instance.id, address).await?;
        self.note_ready(instance.id, address);
        Ok(warned.into_iter().map(|failed| (instance.label(), failed)).collect())
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
