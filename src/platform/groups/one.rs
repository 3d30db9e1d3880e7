//! What may be asked of one instance.

use tokio::time::{Instant, sleep};

use super::GroupInstanceDetail;
use super::actions::{refused, retagged};
use super::begin::{Subject, add_instances, cut_release};
use crate::model::{GroupInstance, InstanceAction, InstanceId, OperationKind, ReleaseStatus, User};
use crate::platform::operations::LOOK;
use crate::platform::{Error, Platform};
use crate::store::group_instances::{self, Move};
use crate::store::{StoreError, Transaction, process_groups};

/// How long an action waits for clean-up.
const CLEANUP_PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

impl Platform {
    /// Starts an instance: the same container, hence its data, log, ports and environment (spec §8.1).
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] in a state that does not allow it, and while something is under way with its
    /// whole group. So for all that follow.
    pub async fn start_group_instance(&self, owner: &User, id: InstanceId) -> Result<GroupInstanceDetail, Error> {
        self.act_on_one(owner, id, InstanceAction::Start, None).await
    }

    /// Stops an instance; no policy applies to that.
    pub async fn stop_group_instance(&self, owner: &User, id: InstanceId) -> Result<GroupInstanceDetail, Error> {
        self.act_on_one(owner, id, InstanceAction::Stop, None).await
    }

    /// Destroys an instance with what it wrote. The wanted count of its group goes down by one at once; the gap is not
    /// filled.
    pub async fn terminate_group_instance(&self, owner: &User, id: InstanceId) -> Result<GroupInstanceDetail, Error> {
        self.act_on_one(owner, id, InstanceAction::Terminate, None).await
    }

    /// Replaces an instance by a new one, of the same image or of another tag of it, which then is the group's. Shows the
    /// old one, which is being terminated.
    pub async fn redeploy_group_instance(
        &self,
        owner: &User,
        id: InstanceId,
        tag: Option<String>,
    ) -> Result<GroupInstanceDetail, Error> {
        self.act_on_one(owner, id, InstanceAction::Redeploy, tag).await
    }

    async fn act_on_one(
        &self,
        owner: &User,
        id: InstanceId,
        action: InstanceAction,
        tag: Option<String>,
    ) -> Result<GroupInstanceDetail, Error> {
        let (platform, owner) = (self.clone(), owner.clone());
        self.owned(async move {
            let before = platform.group_instance(&owner, id).await?.view;
            if !before.group.is_managed {
                platform.act_on_plain(&owner, &before, action, tag.as_deref()).await?;
                return platform.group_instance(&owner, id).await;
            }
            let work = platform.record_on_one(&owner, &before.instance, action, tag.as_deref()).await?;
            let text = format!("{} {} {}", owner.username, said(action), before.unique_name);
            platform.0.logs.note(before.group.app_id, "api", &text);
            let detail = platform.group_instance(&owner, id).await;
            platform.settle_aside(work);
            detail
        })
        .await
    }

    /// Checks and records in one transaction; yields what is to be settled, in order.
    async fn record_on_one(
        &self,
        owner: &User,
        before: &GroupInstance,
        action: InstanceAction,
        tag: Option<&str>,
    ) -> Result<Vec<InstanceId>, Error> {
        let deadline = Instant::now() + CLEANUP_PATIENCE;
        loop {
            let mut tx = self.0.store.begin().await?;
            let subject = self.subject(&mut tx, owner, before.group_id).await?;
            match &subject.holder {
                Some(holder) if holder.kind == OperationKind::CleanUp && Instant::now() < deadline => {
                    tx.rollback().await.map_err(StoreError::from)?;
                    sleep(LOOK).await;
                    continue;
                }
                Some(holder) => {
                    let text = format!("a {} of {} is under way", holder.kind, subject.group.unique_name);
                    return Err(Error::Refused(text));
                }
                None => {}
            }
            let now = subject.instances.iter().find(|one| one.id == before.id);
            let now = now.ok_or_else(|| Error::NotFound(format!("container {}", before.id)))?;
            if !now.state.allows(action, now.is_automatic) {
                let name = now.unique_name(&subject.group.unique_name);
                return Err(refused(&name, said(action), now.state));
            }
            let ids = record(&mut tx, &subject, now, action, owner, tag).await?;
            tx.commit().await.map_err(StoreError::from)?;
            return Ok(ids);
        }
    }
}

async fn record(
    tx: &mut Transaction,
    subject: &Subject,
    one: &GroupInstance,
    action: InstanceAction,
    by: &User,
    tag: Option<&str>,
) -> Result<Vec<InstanceId>, Error> {
    let from = [one.state];
    let group = &subject.group;
    match action {
        InstanceAction::Start => {
            group_instances::advance(&mut **tx, one.id, &from, &Move::Start).await?;
        }
        InstanceAction::Stop => {
            group_instances::advance(&mut **tx, one.id, &from, &Move::Stop).await?;
        }
        InstanceAction::Terminate => {
            group_instances::advance(&mut **tx, one.id, &from, &Move::Terminate).await?;
            process_groups::set_wanted(tx, group, group.wanted.saturating_sub(1)).await?;
        }
        InstanceAction::Redeploy => {
            let image = retagged(group, tag)?;
            let release = cut_release(tx, subject, &image, by, ReleaseStatus::Deployed).await?;
            process_groups::set_image(&mut **tx, group.id, &image).await?;
            group_instances::advance(&mut **tx, one.id, &from, &Move::Terminate).await?;
            let rest: Vec<GroupInstance> = subject.live().filter(|other| other.id != one.id).cloned().collect();
            let added = add_instances(tx, group, &image, release, &rest, 1).await?;
            return Ok([vec![one.id], added].concat());
        }
    }
    Ok(vec![one.id])
}

fn said(action: InstanceAction) -> &'static str {
    match action {
        InstanceAction::Start => "started",
        InstanceAction::Stop => "stopped",
        InstanceAction::Redeploy => "redeployed",
        InstanceAction::Terminate => "terminated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::GroupInstanceState as State;

    #[test]
    fn each_state_of_an_instance_allows_its_actions() {
        use InstanceAction::{Redeploy, Start, Stop, Terminate};
        let allowed: [(State, &[InstanceAction]); 7] = [
            (State::Init, &[Start, Terminate]),
            (State::Starting, &[]),
            (State::Running, &[Stop, Redeploy, Terminate]),
            (State::Stopping, &[]),
            (State::Stopped, &[Start, Redeploy, Terminate]),
            (State::Terminating, &[]),
            (State::Terminated, &[]),
        ];
        for (state, expect) in allowed {
            for action in [Start, Stop, Redeploy, Terminate] {
                assert_eq!(state.allows(action, false), expect.contains(&action), "{state} {action:?}");
            }
        }
    }
}
