//! All instances of a managed group anew: by its own redeployment, or by a deploy, a config change, a rollback or a restart
//! of its app.

use super::begin::add_instances;
use crate::model::{BuildKind, GroupInstanceState as State, Operation, ProcessGroup, ReleaseStatus, Size, Step};
use crate::platform::operations::Live;
use crate::platform::{Error, Platform};
use crate::rollout::Target;
use crate::store::group_instances::{self, Move, Of};
use crate::store::process_groups::{self, Completed};
use crate::store::{StoreError, Transaction, apps, builds, configs, releases};

impl Platform {
    /// Fetches the image of the release that a redeployment cut, then makes the release count and records new instances in
    /// place of the old ones. An image that cannot be had leaves everything as it was.
    pub(super) async fn go_over(&self, operation: &Operation, group: &ProcessGroup) -> Result<(), Error> {
        let pool = self.0.store.pool();
        let Some(id) = operation.release_id else { return Ok(()) };
        let pending = releases::by_id(pool, id).await?.filter(|release| release.status == ReleaseStatus::Pending);
        let Some(release) = pending else { return Ok(()) };
        let Some(app) = apps::by_id(pool, group.app_id).await? else { return Ok(()) };
        let build = match release.build_id {
            Some(build) => builds::get(pool, build).await?,
            None => None,
        };
        let build = build.ok_or_else(|| Error::Refused("No build associated with this release".to_owned()))?;
        let config = configs::get(pool, self.0.store.sealer(), release.config_id).await?;
        let target = Target { app, release, build, config };
        if let Err(error) = self.0.rollouts.prepare_managed(group, &target).await {
            releases::delete_pending(pool, group.app_id).await?;
            builds::fail_pending(pool, group.app_id).await?;
            return Err(error.into());
        }
        let mut tx = self.0.store.begin().await?;
        replace_rows(&mut tx, group, &target).await?;
        tx.commit().await.map_err(StoreError::from)?;
        self.mark_release_as(group.app_id, target.release.version, &target.release.summary);
        Ok(())
    }

    /// Goes over to a release on behalf of an operation of the app: the same switch as a rollout's, with the life cycle of
    /// the group. Yields once the new instances run or have failed to.
    ///
    /// # Errors
    /// [`Error::DeployFailed`] when the image cannot be had: then nothing has changed.
    pub(in crate::platform) async fn roll_out_managed(
        &self,
        live: &mut Live,
        group: &ProcessGroup,
        target: &Target,
    ) -> Result<(), Error> {
        if target.build.kind != BuildKind::Image {
            return Err(Error::Refused(refusal(group)));
        }
        live.journal.step(Step::Start).await?;
        self.0.rollouts.prepare_managed(group, target).await?;
        live.journal.step(Step::Switch).await?;
        let mut tx = self.0.store.begin().await?;
        process_groups::lock(&mut *tx, group.id).await?;
        replace_rows(&mut tx, group, target).await?;
        apps::touch(&mut *tx, group.app_id).await?;
        live.journal.step_in(&mut tx, Step::Drain).await?;
        tx.commit().await.map_err(StoreError::from)?;
        live.journal.pause().await;
        if self.settle_instances(group).await? > 0 {
            process_groups::mark(self.0.store.pool(), group.id, Completed::Deployment).await?;
        }
        Ok(())
    }

    /// The counts of a managed group, as its app scales it.
    pub(in crate::platform) async fn scale_managed(
        &self,
        live: &mut Live,
        group: &ProcessGroup,
        wanted: u32,
    ) -> Result<(), Error> {
        if wanted > crate::model::GROUP_COUNT_MAX {
            let text = format!("cmd={wanted} is more than {} instances", crate::model::GROUP_COUNT_MAX);
            return Err(Error::Refused(text));
        }
        live.journal.step(Step::Start).await?;
        let mut tx = self.0.store.begin().await?;
        process_groups::lock(&mut *tx, group.id).await?;
        process_groups::set_wanted(&mut tx, group, wanted).await?;
        process_groups::set_should_run(&mut *tx, group.id, true).await?;
        let mut present = group_instances::list(&mut tx, Of::Group(group.id)).await?;
        present.retain(|one| one.state.is_live());
        present.sort_by_key(|one| one.number);
        let count = usize::try_from(wanted).unwrap_or(usize::MAX);
        for (index, one) in present.iter().enumerate() {
            // Whoever scales an app wants it to run.
            let (from, to): (&[State], Move) =
                if index < count { (&[State::Init, State::Stopped], Move::Start) } else { (&LIVE, Move::Terminate) };
            group_instances::advance(&mut *tx, one.id, from, &to).await?;
        }
        if present.len() < count {
            let release = releases::latest(&mut *tx, group.app_id).await?;
            let release = release.ok_or_else(|| Error::Refused("there is nothing to run".to_owned()))?;
            add_instances(&mut tx, group, &group.image, release.id, &present, count - present.len()).await?;
        }
        tx.commit().await.map_err(StoreError::from)?;
        if self.settle_instances(group).await? > 0 {
            process_groups::mark(self.0.store.pool(), group.id, Completed::Deployment).await?;
        }
        Ok(())
    }

    /// Refuses to build source for an app that runs an image from elsewhere as a managed group.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub(in crate::platform) async fn refuse_source_for_managed(&self, app: crate::model::AppId) -> Result<(), Error> {
        match process_groups::managed_of_app(self.0.store.pool(), app).await? {
            Some(group) => Err(Error::Refused(refusal(&group))),
            None => Ok(()),
        }
    }
}

/// All states in which an instance counts.
const LIVE: [State; 5] = [State::Init, State::Starting, State::Running, State::Stopping, State::Stopped];

fn refusal(group: &ProcessGroup) -> String {
    format!(
        "{} runs image {} and no source; deploy an image to it, or create another app and push there",
        group.unique_name, group.image
    )
}

/// The size that the limits of a release's config come to; without any the group keeps its own.
fn size_of(group: &ProcessGroup, target: &Target) -> Size {
    let (limits, process) = (&target.config.limits, group.process.as_str());
    let memory_bytes = limits.memory_bytes(process).or(group.size.memory_bytes);
    let cpu_shares = limits.cpu_shares(process).or(group.size.cpu_shares);
    if (memory_bytes, cpu_shares) == (group.size.memory_bytes, group.size.cpu_shares) {
        return group.size.clone();
    }
    Size { name: String::new(), memory_bytes, cpu_shares }
}

/// The release counts, the old instances go, and as many new ones as are wanted are to be started.
async fn replace_rows(tx: &mut Transaction, group: &ProcessGroup, target: &Target) -> Result<(), Error> {
    releases::mark_deployed(&mut **tx, target.release.id).await?;
    process_groups::set_image(&mut **tx, group.id, &target.build.image).await?;
    process_groups::set_should_run(&mut **tx, group.id, true).await?;
    let size = size_of(group, target);
    if size != group.size {
        process_groups::set_size(&mut **tx, group.id, &size).await?;
    }
    for one in group_instances::list(tx, Of::Group(group.id)).await? {
        group_instances::advance(&mut **tx, one.id, &LIVE, &Move::Terminate).await?;
    }
    let fresh = process_groups::by_id(&mut **tx, group.id).await?;
    let wanted = fresh.map_or(group.wanted, |fresh| fresh.wanted);
    let count = usize::try_from(wanted).unwrap_or(usize::MAX);
    add_instances(tx, group, &target.build.image, target.release.id, &[], count).await?;
    Ok(())
}
