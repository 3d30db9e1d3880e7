//! Bringing one instance back that should run and does not, or does not answer.

use super::health::Contract;
use super::probe::{ProbeError, Subject};
use super::{Rollouts, spec};
use crate::engine::Container;
use crate::model::{Instance, InstanceId, InstanceState};
use crate::store::{StoreError, instances};
use crate::telemetry::metrics::metrics;

impl Rollouts {
    /// Brings one instance back: a running container is only verified, anything else makes way for a fresh one.
    pub(super) async fn restart(&self, instance: Instance, running: Option<Container>) -> InstanceId {
        let work = self.try_restart(&instance, running);
        let done = tokio::select! {
            () = self.0.stop.cancelled() => Ok(()),
            done = work => done,
        };
        if let Err(error) = done {
            self.0.logs.note(
                instance.app_id,
                "supervisor",
                &format!("{} cannot be started: {error}", instance.label()),
            );
        }
        instance.id
    }

    async fn try_restart(&self, instance: &Instance, running: Option<Container>) -> anyhow::Result<()> {
        let Some(target) = self.target_of(instance).await? else { return Ok(()) };
        let contract = Contract::of(&self.0.settings, &target, &instance.process)?;
        let container = match running {
            Some(container) => container,
            None => {
                self.stop_instance(instance.id).await?;
                self.ensure_network(&target).await?;
                if !self.is_live(instance).await? {
                    return Ok(());
                }
                metrics().restart(target.app.name.as_str());
                self.start_instance(&target, instance).await?
            }
        };
        // Whoever let it go meanwhile may have looked before the container existed, and count on its not running.
        if !self.is_live(instance).await? {
            return Ok(self.0.engine.remove_container(&container.id).await?);
        }
        let subject = Subject::new(&self.0.settings, &target, &container);
        let limit = self.0.settings.boot_timeout;
        let healthy = subject.until_healthy(&*self.0.engine, &contract.startup, limit).await;
        if !self.is_live(instance).await? {
            return Ok(self.0.engine.remove_container(&container.id).await?);
        }
        match healthy {
            Ok(_) => {
                let address = spec::address(&target, &instance.process, container.ip);
                instances::set_address(self.0.store.pool(), instance.id, address).await?;
                self.note_ready(instance.id, address);
                self.publish(&target.app).await?;
                self.0.logs.note(instance.app_id, "supervisor", &format!("{} is up", instance.label()));
            }
            Err(ProbeError::Exited(_)) => {}
            Err(ProbeError::Engine(error)) => return Err(error.into()),
            Err(ProbeError::TimedOut(failed)) => {
                // A process that runs but does not answer is as good as dead: the next pass counts it and waits longer.
                self.0.logs.note(
                    instance.app_id,
                    "supervisor",
                    &format!("{} does not pass its check {}: {}", instance.label(), failed.check, failed.last),
                );
                self.0.engine.stop_container(&container.id, self.0.settings.stop_grace).await?;
            }
        }
        Ok(())
    }

    async fn is_live(&self, instance: &Instance) -> Result<bool, StoreError> {
        let now = instances::get(self.0.store.pool(), instance.id).await?;
        Ok(now.is_some_and(|now| now.state == InstanceState::Live))
    }
}
