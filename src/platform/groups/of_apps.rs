//! The process types of deployed apps, as groups: their instances are the rollouts' and the supervisor's (spec §16.2).

use std::time::Duration;

use super::actions::refused;
use super::begin::Intent;
use super::{GroupInstanceView, actions::retagged};
use crate::model::{
    App, AppId, ConfigVars, Environment, Formation, GroupCounts, GroupId, GroupInstance, GroupInstanceState as State,
    ImageReference, Instance, InstanceAction, InstanceState, OperationKind, Policies, Policy, ProcessGroup,
    ProcessType, Size, Terms, User, for_containers,
};
use crate::platform::formation::Condition;
use crate::platform::operations::Live;
use crate::platform::restart::Which;
use crate::platform::{Error, InstanceView, OwnerHandle, Platform};
use crate::release;
use crate::store::process_groups::{self, Completed};
use crate::store::{StoreError, apps, formations, instances};

/// How long what was stopped may take to be up again, beyond the time that an instance has to become healthy.
const START_MARGIN: Duration = Duration::from_secs(60);

impl Platform {
    /// Gives every process type of a person's apps that was deployed its lasting id.
    pub(super) async fn name_groups_of(&self, owner: &User) -> Result<(), Error> {
        let pool = self.0.store.pool();
        for (app, process) in process_groups::unnamed_of_owner(pool, owner.id).await? {
            let Some(app) = apps::by_id(pool, app).await? else { continue };
            let counts = formations::get(pool, app.id).await?;
            let mut new = group_of_type(&app, owner, process, &counts);
            if let Some((filled, _)) = self.filled(new.clone()).await? {
                // For the time when it is gone and nothing else says what it ran.
                new.image = filled.image;
            }
            match process_groups::insert(pool, &new).await {
                Ok(()) | Err(StoreError::Duplicate) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// A group of an app with what the app's release says of it; `None` when there is nothing of it (any more).
    pub(super) async fn filled(&self, group: ProcessGroup) -> Result<Option<(ProcessGroup, Environment)>, Error> {
        if group.is_terminated() {
            return Ok(Some((group, Environment::new())));
        }
        let id = group.id;
        match self.try_fill(group).await {
            Ok(Some(filled)) => Ok(Some(filled)),
            other => {
                // Its app may have gone while it was looked at.
                let now = process_groups::by_id(self.0.store.pool(), id).await?;
                let terminated = now.filter(ProcessGroup::is_terminated);
                terminated.map_or(other, |group| Ok(Some((group, Environment::new()))))
            }
        }
    }

    async fn try_fill(&self, mut group: ProcessGroup) -> Result<Option<(ProcessGroup, Environment)>, Error> {
        let pool = self.0.store.pool();
        let Some(app) = apps::by_id(pool, group.app_id).await? else { return Ok(None) };
        let counts = formations::get(pool, app.id).await?;
        let current = release::current(&self.0.store, app.id).await?;
        let (Some(build), true) = (current.build, counts.0.contains_key(&group.process)) else { return Ok(None) };
        let limits = &current.config.limits;
        group.wanted = counts.count(&group.process);
        group.image = with_tag(if build.commit.is_some() { &build.engine_image } else { &build.image });
        group.command = build.procfile.command(&group.process).and_then(|text| text.to_owned().try_into().ok());
        group.size.memory_bytes = limits.memory_bytes(group.process.as_str());
        group.size.cpu_shares = limits.cpu_shares(group.process.as_str());
        group.deployed_at = group.deployed_at.max(Some(current.release.updated_at));
        group.started_at = group.started_at.max(group.deployed_at);
        Ok(Some((group, text_of(&current.config.values))))
    }

    /// Its instances, as those of managed groups are shown. When the engine does not say how they are, they are starting.
    pub(super) async fn instances_of_type(&self, group: &ProcessGroup) -> Result<Vec<GroupInstance>, Error> {
        let Some(app) = apps::by_id(self.0.store.pool(), group.app_id).await? else { return Ok(Vec::new()) };
        let owner = self.user_of(group).await?;
        let handle = OwnerHandle::of_owner(app, &owner);
        let mut views = match self.instances(handle.handle()).await {
            Err(Error::Unavailable(_)) => self.unseen_instances(group).await?,
            seen => seen?,
        };
        views.retain(|view| view.instance.process == group.process);
        views.sort_by_key(|view| view.instance.number);
        Ok(views.iter().map(|view| shown(group, view)).collect())
    }

    /// What the rows alone say of an app's instances.
    async fn unseen_instances(&self, group: &ProcessGroup) -> Result<Vec<InstanceView>, Error> {
        let mut rows = instances::of_app(self.0.store.pool(), group.app_id).await?;
        rows.retain(|instance| instance.state.is_wanted());
        let condition = |instance: &Instance| match instance.state {
            InstanceState::Halted => Condition::Down,
            _ => Condition::Starting,
        };
        Ok(rows.into_iter().map(|instance| InstanceView { condition: condition(&instance), instance }).collect())
    }

    async fn user_of(&self, group: &ProcessGroup) -> Result<User, Error> {
        crate::platform::users::known(&self.0.store, group.owner.as_str()).await
    }

    pub(super) async fn counts_of_type(&self, group: &ProcessGroup) -> Result<GroupCounts, Error> {
        let instances = self.instances_of_type(group).await?;
        Ok(GroupCounts::of(instances.iter().map(|one| (one.state, one.is_automatic))))
    }

    /// Stops or starts the types of an app as their groups are to be; what is as it should be is left alone.
    pub(super) async fn carry_out_plain(&self, kind: OperationKind, app: &App) -> Result<(), Error> {
        let pool = self.0.store.pool();
        for group in process_groups::of_app(pool, app.id).await? {
            match kind {
                OperationKind::Stop if !group.should_run => {
                    self.0.rollouts.halt(app, &group.process).await?;
                    process_groups::mark(pool, group.id, Completed::Stop).await?;
                }
                OperationKind::Start if group.should_run => {
                    let started = self.0.rollouts.unhalt(app, &group.process);
                    let limit = self.0.rollouts.boot_timeout() + START_MARGIN;
                    let started = tokio::time::timeout(limit, started).await;
                    if started.map_err(|_| Error::Unavailable("the start took too long".to_owned()))?? > 0 {
                        process_groups::mark(pool, group.id, Completed::Start).await?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Scales or restarts a process type by the verbs of its app, in a task of the platform.
    pub(super) fn carry_out_for_app(&self, mut live: Live, owner: &User, group: &ProcessGroup, intent: &Intent) {
        let (platform, owner, group, intent) = (self.clone(), owner.clone(), group.clone(), intent.clone());
        self.0.tracker.spawn(async move {
            let outcome = async {
                let handle = platform.app_of_group(&owner, &group).await?;
                match intent {
                    Intent::Scale(wanted) => {
                        let change = Formation([(group.process.clone(), wanted)].into());
                        platform.scale_with(&mut live, handle.handle(), &change).await
                    }
                    _ => {
                        let which = Which::OfType(group.process.clone());
                        platform.restart_with(&mut live, handle.handle(), &which).await.map(drop)
                    }
                }
            };
            let outcome = outcome.await;
            if let Err(error) = &outcome {
                for line in error.lines() {
                    platform.0.logs.note(group.app_id, "deploy", &line);
                }
            }
            // On record and in the app's stream; nobody waits for it.
            let _ended = live.end(outcome).await;
        });
    }

    /// What may be asked of one instance of an app: a fresh one in its place.
    pub(super) async fn act_on_plain(
        &self,
        owner: &User,
        before: &GroupInstanceView,
        action: InstanceAction,
        tag: Option<&str>,
    ) -> Result<(), Error> {
        retagged(&before.group, tag)?;
        let (name, state) = (&before.unique_name, before.instance.state);
        if action != InstanceAction::Redeploy {
            return Err(Error::Refused(format!(
                "{name} is an instance of a deployed app, which are stopped, started and scaled together, by their type"
            )));
        }
        if !state.allows(action, false) {
            return Err(refused(name, "redeployed", state));
        }
        let handle = self.app_of_group(owner, &before.group).await?;
        let pool = self.0.store.pool();
        let begun =
            crate::store::operations::begin(pool, OperationKind::Restart, handle.app(), owner.username.as_str());
        let operation = match begun.await {
            Ok(operation) => operation,
            Err(StoreError::Duplicate) => return Err(Error::Refused(format!("something is under way with {name}"))),
            Err(error) => return Err(error.into()),
        };
        let (platform, mut live) = (self.clone(), self.live(operation));
        let which = Which::One(before.group.process.clone(), before.instance.number);
        self.0.tracker.spawn(async move {
            let outcome = platform.restart_with(&mut live, handle.handle(), &which).await;
            let _ended = live.end(outcome).await;
        });
        Ok(())
    }
}

/// `web` and `cmd` stand under the app's name, others under that and their own; of two in one app `web` goes before.
fn group_of_type(app: &App, owner: &User, process: ProcessType, counts: &Formation) -> ProcessGroup {
    let is_main =
        process == ProcessType::web() || process == ProcessType::cmd() && !counts.0.contains_key(&ProcessType::web());
    let name = if is_main { app.name.to_string() } else { format!("{}-{process}", app.name) };
    ProcessGroup {
        id: GroupId::new(),
        app_id: app.id,
        process,
        owner_id: owner.id,
        owner: owner.username.clone(),
        name: name.clone(),
        unique_name: name,
        is_managed: false,
        image: String::new(),
        wanted: 0,
        should_run: true,
        command: None,
        entrypoint: None,
        image_command: Vec::new(),
        image_entrypoint: Vec::new(),
        ports: Vec::new(),
        takes_image_ports: false,
        size: Size::default(),
        // Its supervisor brings crashed instances back without limit.
        policies: Policies { restart: Policy::Always, ..Policies::default() },
        is_sequential: false,
        grants: Vec::new(),
        terms: Terms::default(),
        domain: None,
        created_at: app.created_at,
        deployed_at: None,
        started_at: None,
        stopped_at: None,
        destroyed_at: None,
    }
}

fn shown(group: &ProcessGroup, view: &InstanceView) -> GroupInstance {
    let instance = &view.instance;
    let (state, exit_code) = match view.condition {
        Condition::Up => (State::Running, None),
        Condition::Down => (State::Stopped, None),
        Condition::Initialized => (State::Init, None),
        _ => (State::Starting, None),
    };
    GroupInstance {
        id: instance.id,
        group_id: group.id,
        app_id: instance.app_id,
        release_id: instance.release_id,
        number: instance.number,
        state,
        is_automatic: state == State::Starting,
        image: group.image.clone(),
        exit_code,
        exit_message: None,
        ports: Vec::new(),
        created_at: instance.created_at,
        deployed_at: Some(instance.created_at),
        started_at: Some(instance.created_at),
        stopped_at: group.stopped_at.filter(|_| state == State::Stopped),
        destroyed_at: None,
    }
}

fn with_tag(image: &str) -> String {
    let is_untagged = image.parse::<ImageReference>().is_ok_and(|image| image.is_untagged());
    if is_untagged { format!("{image}:latest") } else { image.to_owned() }
}

/// Config values as instances see them.
pub(super) fn text_of(values: &ConfigVars) -> Environment {
    for_containers(values).collect()
}

/// Apps whose end has begun.
pub(super) fn destroying(apps: &[App]) -> std::collections::HashSet<AppId> {
    apps.iter().filter(|app| app.is_destroying).map(|app| app.id).collect()
}
