//! After a failure or a crash: what never became live goes, what was left draining goes, what is live is found again.

use std::collections::HashSet;
use std::time::Duration;

use super::health::Contract;
use super::probe::Subject;
use super::{RolloutError, Rollouts, Target, spec};
use crate::engine::{BUILD_NETWORK, ContainerState, EngineError, Purpose, label};
use crate::model::{App, AppId, Check, CheckKind, Instance, InstanceId, InstanceState, Question};
use crate::store::{StoreError, apps, builds, configs, domains, group_instances, instances, operations, releases};

/// How long an instance may take to show that it still answers.
const QUICK: Duration = Duration::from_secs(1);

impl Rollouts {
    async fn remove_planned(&self, app: AppId) -> Result<(), RolloutError> {
        for instance in instances::of_app(self.0.store.pool(), app).await? {
            if instance.state == InstanceState::Planned {
                self.remove_instance(instance.id).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn remove_instance(&self, instance: InstanceId) -> Result<(), RolloutError> {
        for container in self.0.engine.containers(&self.instance_labels(instance)).await? {
            self.0.engine.remove_container(&container.id).await?;
        }
        self.note_gone(instance);
        self.0.admitted.lock().expect("no panic while held").remove(&instance);
        Ok(instances::delete(self.0.store.pool(), instance).await?)
    }

    /// Brings an app that no operation is working on to what its database rows say: nothing planned, parked or draining, no
    /// pending release. Idempotent.
    ///
    /// # Errors
    /// The first thing that could not be done; the rest is left for the next call.
    pub async fn settle(&self, app: &App) -> Result<(), RolloutError> {
        self.remove_planned(app.id).await?;
        self.restore_parked(app).await?;
        releases::delete_pending(self.0.store.pool(), app.id).await?;
        let old: Vec<Instance> = instances::of_app(self.0.store.pool(), app.id)
            .await?
            .into_iter()
            .filter(|i| i.state == InstanceState::Draining)
            .collect();
        self.publish(app).await?;
        self.drain(app, &old, &|_| {}).await;
        Ok(())
    }

    /// At start: finds the running containers of live instances, verifies them and routes to them.
    ///
    /// An upstream counts as verified when the engine says that a running container carries the instance's label at that
    /// address, and the address answers. Everything else is the supervisor's to start again; until then its app gets 503.
    ///
    /// # Errors
    /// When the database or the engine cannot be read at all.
    pub async fn resume(&self) -> Result<(), RolloutError> {
        let apps = apps::list(self.0.store.pool(), None, crate::store::Page::ALL).await?;
        self.0.table.add_apps(apps.iter().map(|app| &app.name));
        let mut running = HashSet::new();
        for instance in instances::in_state(self.0.store.pool(), InstanceState::Live).await? {
            running.insert(instance.app_id);
            if let Err(error) = self.find_again(&instance).await {
                tracing::warn!(instance.id = %instance.id, %error, "cannot verify an instance yet");
            }
        }
        let named: HashSet<AppId> = domains::all(self.0.store.pool()).await?.into_iter().map(|(_, app)| app).collect();
        for app in &apps {
            if running.contains(&app.id) {
                self.publish(app).await?;
            }
            if named.contains(&app.id) {
                self.publish_domains(app).await?;
            }
        }
        Ok(())
    }

    async fn find_again(&self, instance: &Instance) -> Result<(), RolloutError> {
        let containers = self.0.engine.containers(&self.instance_labels(instance.id)).await?;
        let Some(container) = containers.into_iter().find(|c| c.state == ContainerState::Running) else {
            return Ok(());
        };
        self.0.collector.follow(instance.app_id, &instance.process, instance.number, instance.id, &container.id);
        let Some(target) = self.target_of(instance).await? else { return Ok(()) };
        let Some(address) = spec::address(&target, &instance.process, container.ip) else { return Ok(()) };
        let subject = Subject::new(&self.0.settings, &target, &container);
        if subject.until_healthy(&*self.0.engine, &self.briefly(&target, instance)?, QUICK).await.is_ok() {
            // First of all, so that it is routed to although the database takes nothing now.
            self.note_ready(instance.id, Some(address));
            if instance.address != Some(address) {
                instances::set_address(self.0.store.pool(), instance.id, Some(address)).await?;
            }
        }
        Ok(())
    }

    /// The startup checks as they are asked of an instance that has long been up: without what only takes time.
    fn briefly(&self, target: &Target, instance: &Instance) -> Result<Vec<Check>, RolloutError> {
        let mut checks = Contract::of(&self.0.settings, target, &instance.process)?.startup;
        checks.retain(|check| !matches!(check.question, Question::Uptime(_)) && !check.only_warns);
        for check in &mut checks {
            let at_once = Check::new(CheckKind::Startup, check.question.clone());
            *check = Check { timeout: check.timeout.min(QUICK), ..at_once };
        }
        Ok(checks)
    }

    /// What an instance runs; `None` when its app or build is gone.
    pub(super) async fn target_of(&self, instance: &Instance) -> Result<Option<Target>, StoreError> {
        let store = &self.0.store;
        let Some(app) = apps::by_id(store.pool(), instance.app_id).await? else { return Ok(None) };
        let Some(release) = releases::by_id(store.pool(), instance.release_id).await? else { return Ok(None) };
        let Some(build_id) = release.build_id else { return Ok(None) };
        let Some(build) = builds::get(store.pool(), build_id).await? else { return Ok(None) };
        let config = configs::get(store.pool(), store.sealer(), release.config_id).await?;
        Ok(Some(Target { app, release, build, config }))
    }

    /// Removes containers of ours that nothing accounts for: instances that the database does not know, work of operations
    /// that are over, one-offs of an earlier life, and networks of apps that are gone and of builds that are over.
    ///
    /// # Errors
    /// When the engine or the database fails; what was removed stays removed.
    pub async fn sweep(&self) -> Result<(), RolloutError> {
        let ours = crate::engine::labels([(label::SERVER, self.0.settings.server_id.as_str())]);
        // Containers are listed before rows: one that is created in between has its row and is not seen here.
        let containers = self.0.engine.containers(&ours).await?;
        let networks = self.0.engine.networks(&ours).await?;
        let live: HashSet<String> =
            operations::live(self.0.store.pool()).await?.into_iter().map(|o| o.id.to_string()).collect();
        let managed: HashSet<String> = group_instances::ids(self.0.store.pool()).await?.into_iter().collect();
        for container in containers {
            let known = match container.purpose() {
                Some(Purpose::Instance(id)) => match id.parse::<InstanceId>() {
                    Ok(id) => {
                        managed.contains(&id.to_string()) || instances::get(self.0.store.pool(), id).await?.is_some()
                    }
                    Err(_) => false,
                },
                Some(Purpose::Operation(operation)) => live.contains(operation),
                Some(Purpose::OneOff(_)) | None => true,
            };
            if !known {
                tracing::info!(container.name = %container.name, "removing a container that nothing accounts for");
                self.0.engine.remove_container(&container.id).await?;
            }
        }
        self.sweep_one_offs().await?;
        self.sweep_networks(networks, &live).await
    }

    async fn sweep_networks(&self, networks: Vec<String>, live: &HashSet<String>) -> Result<(), RolloutError> {
        let apps = apps::list(self.0.store.pool(), None, crate::store::Page::ALL).await?;
        let wanted: HashSet<String> = apps.iter().map(|app| super::app_network(app.id)).collect();
        let is_in_use = |name: &String| match name.strip_prefix(BUILD_NETWORK) {
            Some(operation) => live.contains(operation),
            None => wanted.contains(name),
        };
        for network in networks.into_iter().filter(|name| name.starts_with("slipway-") && !is_in_use(name)) {
            let removed: Result<(), EngineError> = self.0.engine.remove_network(&network).await;
            if let Err(error) = removed {
                tracing::warn!(network, %error, "cannot remove a network that nothing uses any more");
            }
        }
        Ok(())
    }
}
