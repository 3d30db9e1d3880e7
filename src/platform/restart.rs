//! Restarts: fresh instances of the release that runs, without a failed request.

use tokio_util::sync::CancellationToken;

use super::deploy::target;
use super::operations::{Live, Progress};
use super::{AppHandle, Error, InstanceView, Platform};
use crate::model::{Build, Instance, OperationKind, ProcessType};
use crate::release;
use crate::rollout::{Event, Scope};
use crate::store::{formations, process_groups};

/// Which instances of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// All of one process type.
    OfType(ProcessType),
    /// One, by type and number.
    One(ProcessType, u32),
}

impl Which {
    fn includes(&self, instance: &Instance) -> bool {
        match self {
            Self::All => true,
            Self::OfType(process) => instance.process == *process,
            Self::One(process, number) => instance.process == *process && instance.number == *number,
        }
    }

    /// As people say it: `all`, `web`, `web.1`.
    fn label(&self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::OfType(process) => process.to_string(),
            Self::One(process, number) => format!("{process}.{number}"),
        }
    }

    /// Whether there can be such instances at all, whether or not there are any now.
    fn check(&self, build: &Build) -> Result<(), Error> {
        match self {
            Self::OfType(process) | Self::One(process, _) if !build.has_process(process) => Err(self.missing()),
            _ => Ok(()),
        }
    }

    fn missing(&self) -> Error {
        Error::NotFound(format!("container {}", self.label()))
    }
}

impl Platform {
    /// Replaces instances by fresh ones of the same release, type and number: they start beside the old ones, and the old
    /// ones drain once all the new ones are healthy (spec §23). Yields those that were asked for, as they are afterwards;
    /// none when the app, or that type, is scaled to zero.
    ///
    /// # Errors
    /// [`Error::Refused`] without a build; [`Error::NotFound`] for a type that the build does not have and for a number
    /// that nobody has; [`Error::DeployFailed`] when a new instance does not come up: then the old ones go on.
    pub async fn restart(&self, handle: &AppHandle, which: Which) -> Result<Vec<InstanceView>, Error> {
        let (platform, handle) = (self.clone(), handle.clone());
        self.owned(async move {
            let cancel = CancellationToken::new();
            let mut live = platform.begin(OperationKind::Restart, &handle, &Progress::none(), &cancel).await?;
            let outcome = platform.restart_with(&mut live, &handle, &which).await;
            live.end(outcome).await
        })
        .await
    }

    pub(super) async fn restart_with(
        &self,
        live: &mut Live,
        handle: &AppHandle,
        which: &Which,
    ) -> Result<Vec<InstanceView>, Error> {
        let (app, pool) = (handle.app(), self.0.store.pool());
        let current = release::current(&self.0.store, app.id).await?;
        let target = target(app, &current)?;
        which.check(&target.build)?;
        let mut old: Vec<_> = self.instances(handle).await?.into_iter().map(|view| view.instance).collect();
        old.retain(|instance| which.includes(instance));
        match which {
            Which::One(..) if old.is_empty() => return Err(which.missing()),
            _ if old.is_empty() => return Ok(Vec::new()),
            _ => {}
        }
        if let Some(group) = process_groups::managed_of_app(pool, app.id).await? {
            self.roll_out_managed(live, &group, &target).await?;
            let mut views = self.instances(handle).await?;
            views.retain(|view| which.includes(&view.instance));
            return Ok(views);
        }
        self.0.builder.ensure_image(&target.build).await?;
        let formation = formations::get(pool, app.id).await?;
        let ids: Vec<_> = old.iter().map(|instance| instance.id).collect();
        let (by, label) = (handle.user().username.as_str(), which.label());
        let mark = |event: Event<'_>| {
            if event == Event::Switched {
                self.mark_release(app.id, target.release.version, by, &format!("restarted {label}"));
            }
        };
        self.0.rollouts.run(&mut live.journal, &target, &formation, Scope::Only(&ids), &mark).await?;
        self.0.logs.note(app.id, "api", &format!("{by} restarted {label}"));
        let mut views = self.instances(handle).await?;
        views.retain(|view| which.includes(&view.instance));
        Ok(views)
    }
}
