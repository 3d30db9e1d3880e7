//! From *starting* to *running*: image, environment, ports, container, start.

use tokio::time::{Instant, sleep};

use super::super::{Rollouts, Target};
use super::{RETRY, START_LIMIT, Trouble, spec};
use crate::engine::{Container, ContainerState};
use crate::model::{GroupInstance, GroupInstanceState, ProcessGroup};
use crate::store::group_instances::{self, Move};
use crate::store::{StoreError, apps, builds, configs, digest, process_groups, random_hex, releases};
use crate::telemetry::metrics::metrics;

/// Bytes of output that the engine keeps of a managed container, twice: its log is read from there, 1 MiB of it at least.
pub(super) const LOG_BYTES: u64 = 8 << 20;
/// Bytes of randomness in a credential.
const TOKEN_BYTES: usize = 20;
/// How often other ports are tried when something else on the host has those that were chosen.
const PORT_TRIES: usize = 5;

impl Rollouts {
    /// Starts an instance that is to be started. It runs afterwards, or it is stopped and its row says why, or its row asks
    /// for something else by now.
    pub(super) async fn launch_managed(&self, instance: &GroupInstance) -> Result<(), StoreError> {
        let mut port_tries = 0;
        // An engine that is away has so long to come back, and so long again once the image is there.
        let first = Instant::now() + START_LIMIT;
        let mut fetched = None;
        loop {
            let trouble = match self.try_launch(instance, &mut fetched).await {
                Ok(()) => {
                    self.advance(instance.id, GroupInstanceState::Starting, Move::Run).await?;
                    return Ok(());
                }
                Err(trouble) => trouble,
            };
            let is_over = Instant::now() >= fetched.map_or(first, |at: Instant| at + START_LIMIT);
            let text = match trouble {
                Trouble::Store(error) => return Err(error),
                Trouble::PortTaken(_) if port_tries < PORT_TRIES && self.gets_other_ports(instance).await? => {
                    port_tries += 1;
                    continue;
                }
                Trouble::Away(_) if !is_over => {
                    sleep(RETRY).await;
                    let now = self.group_instance(instance.id).await?;
                    if now.is_some_and(|now| now.state == GroupInstanceState::Starting) {
                        continue;
                    }
                    return Ok(());
                }
                Trouble::Told(text) | Trouble::PortTaken(text) => text,
                Trouble::Away(error) => error.to_string(),
            };
            let note = format!("{}.{} cannot be started: {text}", spec::PROCESS, instance.number);
            self.0.logs.note(instance.app_id, "supervisor", &note);
            self.advance(instance.id, GroupInstanceState::Starting, Move::NotStarted(text)).await?;
            return Ok(());
        }
    }

    /// One try. Notes when the image was first there.
    async fn try_launch(&self, instance: &GroupInstance, fetched: &mut Option<Instant>) -> Result<(), Trouble> {
        let gone = || Trouble::Told("its group or release is gone".to_owned());
        let store = &self.0.store;
        let group = process_groups::by_id(store.pool(), instance.group_id).await?.ok_or_else(gone)?;
        let app = apps::by_id(store.pool(), instance.app_id).await?.filter(|app| !app.is_destroying);
        let app = app.ok_or_else(gone)?;
        let release = releases::by_id(store.pool(), instance.release_id).await?.ok_or_else(gone)?;
        let build = builds::get(store.pool(), release.build_id.ok_or_else(gone)?).await?.ok_or_else(gone)?;
        let config = configs::get(store.pool(), store.sealer(), release.config_id).await?;
        let target = Target { app, release, build, config };
        self.ensure_managed_image(&group, &target).await?;
        fetched.get_or_insert_with(Instant::now);
        let mut existing = self.container_of(instance.id).await?;
        if instance.deployed_at.is_none()
            && let Some(unfinished) = existing.take()
        {
            // What is in it may not be what was recorded: the crash was in between.
            self.0.engine.remove_container(&unfinished.id).await?;
        }
        self.ensure_network(&target).await?;
        let container = match existing {
            Some(container) => container.id,
            None => self.create_managed(&target, instance).await?,
        };
        self.0.engine.start_container(&container).await?;
        if instance.deployed_at.is_some() {
            metrics().restart(target.app.name.as_str());
        }
        self.0.collector.follow(
            instance.app_id,
            &crate::model::ProcessType::cmd(),
            instance.number,
            instance.id,
            &container,
        );
        Ok(())
    }

    /// Makes the container, with what is recorded of an earlier one of the instance, or with what is true now.
    async fn create_managed(&self, target: &Target, instance: &GroupInstance) -> Result<String, Trouble> {
        let store = &self.0.store;
        // Read again: the image may have told its ports meanwhile.
        let group = process_groups::by_id(store.pool(), instance.group_id).await?;
        let group = group.ok_or_else(|| Trouble::Told("its group is gone".to_owned()))?;
        let recorded = match instance.deployed_at {
            Some(_) => group_instances::environment(store.pool(), store.sealer(), instance.id).await?,
            None => None,
        };
        let (environment, names) = match recorded {
            Some(environment) => (environment, self.linked_names(&group, instance).await?),
            None => self.environment_for(&group, target, instance).await?,
        };
        let credential = credential(&group);
        let token_digest = credential.as_ref().map(|credential| digest(&credential.token));
        group_instances::set_environment(
            store.pool(),
            store.sealer(),
            instance.id,
            &environment,
            token_digest.as_deref(),
        )
        .await?;
        let ports = self.ports_for(&group, instance).await?;
        let mut in_container = environment;
        in_container.extend(credential.map(|credential| (credential.variable, credential.value)));
        let spec = spec::container(&self.0.settings, target, &group, instance, &ports, in_container, names);
        Ok(self.0.engine.create_container(&spec).await?)
    }

    /// Whether ports that were chosen for an instance may be given up for others: nobody knows them before its first
    /// deployment. Gives them up.
    async fn gets_other_ports(&self, instance: &GroupInstance) -> Result<bool, StoreError> {
        let group = process_groups::by_id(self.0.store.pool(), instance.group_id).await?;
        let is_fixed = group.is_none_or(|group| group.ports.iter().any(|port| port.outer.is_some()));
        if instance.deployed_at.is_some() || is_fixed {
            return Ok(false);
        }
        group_instances::release_ports(self.0.store.pool(), instance.id).await?;
        Ok(true)
    }

    /// Whether the container runs.
    pub(super) fn runs(container: Option<&Container>) -> bool {
        container.is_some_and(|container| container.state == ContainerState::Running)
    }
}

/// A fresh credential of a group with grants.
struct Credential {
    variable: String,
    value: String,
    token: String,
}

fn credential(group: &ProcessGroup) -> Option<Credential> {
    let terms = group.terms.credential.as_ref().filter(|_| !group.grants.is_empty())?;
    let token = random_hex(TOKEN_BYTES);
    let value = terms.value.replace("{owner}", group.owner.as_str()).replace("{token}", &token);
    Some(Credential { variable: terms.variable.clone(), value, token })
}
