//! The formation: how many instances of which process type, and how they are.

use super::deploy::target;
use super::operations::{Live, Progress};
use super::{AppHandle, Error, Platform};
use crate::engine::{ContainerState, label};
use crate::model::{Formation, Instance, InstanceState, OperationKind, ProcessType};
use crate::release;
use crate::rollout::{Event, Scope};
use crate::store::quotas::Wanted;
use crate::store::{formations, instances, process_groups};
use tokio_util::sync::CancellationToken;

/// Most instances of one process type.
const COUNT_MAX: u32 = 500;

/// How an instance is right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Runs, and takes requests if its type takes any.
    Up,
    /// Its container runs, and has yet to show that it is healthy.
    Starting,
    /// It makes way for the rollout that is under way, and comes back if that fails.
    Parked,
    /// Its container was made and not started yet.
    Created,
    /// It ended by itself or was killed; the supervisor starts it again.
    Crashed,
    /// Its container is gone; the supervisor makes another.
    Missing,
    /// It is recorded, and nothing of it was made yet.
    Initialized,
    /// It was stopped on request, or ended as it should, and stays so until somebody starts it.
    Down,
    /// It could not be started at all.
    Error,
}

/// An instance and how it is.
#[derive(Debug, Clone)]
pub struct InstanceView {
    /// The instance.
    pub instance: Instance,
    /// How it is.
    pub condition: Condition,
}

impl Platform {
    /// The app's live instances, oldest first, with their present condition as the engine has it.
    pub async fn instances(&self, handle: &AppHandle) -> Result<Vec<InstanceView>, Error> {
        let mut live = instances::of_app(self.0.store.pool(), handle.app().id).await?;
        live.retain(|instance| instance.state.is_wanted());
        live.sort_by_key(|instance| instance.created_at);
        let labels = crate::engine::labels([
            (label::SERVER, self.0.settings.server_id.as_str()),
            (label::APP, &handle.app().id.to_string()),
            (label::INSTANCE, ""),
        ]);
        let containers = self.0.engine.containers(&labels).await?;
        let views = live.into_iter().map(|instance| {
            let id = instance.id.to_string();
            let container = containers.iter().find(|c| c.labels.get(label::INSTANCE) == Some(&id));
            let condition = match container.map(|c| &c.state) {
                _ if instance.state == InstanceState::Parked => Condition::Parked,
                _ if instance.state == InstanceState::Halted => Condition::Down,
                Some(ContainerState::Running) if !self.0.rollouts.is_ready(&instance) => Condition::Starting,
                Some(ContainerState::Running) => Condition::Up,
                Some(ContainerState::Created) => Condition::Created,
                Some(ContainerState::Exited(_)) => Condition::Crashed,
                None => Condition::Missing,
            };
            InstanceView { instance, condition }
        });
        let mut views: Vec<InstanceView> = views.collect();
        views.extend(self.managed_instances(handle.app().id).await?);
        Ok(views)
    }

    /// Changes counts; types that are not mentioned keep theirs, and only types whose count changes are touched.
    ///
    /// # Errors
    /// [`Error::Refused`] without a build or for a type that the build does not have; [`Error::DeployFailed`] when a new
    /// instance does not come up: then nothing has changed.
    pub async fn scale(&self, handle: &AppHandle, change: Formation) -> Result<(), Error> {
        if let Some((process, count)) = change.0.iter().find(|(_, count)| **count > COUNT_MAX) {
            return Err(Error::Refused(format!("{process}={count} is more than {COUNT_MAX} instances of one type")));
        }
        let (platform, handle) = (self.clone(), handle.clone());
        self.owned(async move {
            let cancel = CancellationToken::new();
            let mut live = platform.begin(OperationKind::Scale, &handle, &Progress::none(), &cancel).await?;
            let outcome = platform.scale_with(&mut live, &handle, &change).await;
            live.end(outcome).await
        })
        .await
    }

    pub(super) async fn scale_with(
        &self,
        live: &mut Live,
        handle: &AppHandle,
        change: &Formation,
    ) -> Result<(), Error> {
        let app = handle.app();
        let current = release::current(&self.0.store, app.id).await?;
        let build = current.build.as_ref();
        let build = build.ok_or_else(|| Error::Refused("No build associated with this release".to_owned()))?;
        let is_unknown = |process: &&ProcessType| !build.has_process(process);
        if let Some(process) = change.0.keys().find(is_unknown) {
            return Err(Error::Refused(format!("Container type {process} does not exist in application")));
        }
        let before = formations::get(self.0.store.pool(), app.id).await?;
        let wanted = before.merged(change);
        let coming = Wanted::of(&wanted, &current.config.limits, self.0.settings.instance_memory);
        self.admit_now(app, &live.operation().id, coming).await?;
        if let Some(group) = process_groups::managed_of_app(self.0.store.pool(), app.id).await? {
            return self.scale_managed(live, &group, wanted.count(&group.process)).await;
        }
        if before == wanted {
            return Ok(());
        }
        self.0.builder.ensure_image(build).await?;
        let target = target(app, &current)?;
        let by = handle.user().username.as_str();
        let mark = |event: Event<'_>| {
            if event == Event::Switched {
                self.mark_release(app.id, target.release.version, by, &format!("scaled {change}"));
            }
        };
        self.0.rollouts.run(&mut live.journal, &target, &wanted, Scope::Difference, &mark).await?;
        self.0.logs.note(app.id, "api", &format!("{} scaled containers {change}", handle.user().username));
        Ok(())
    }
}
