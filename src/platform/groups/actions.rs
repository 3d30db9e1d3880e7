//! What may be asked of a whole group.

use super::begin::Intent;
use super::{GroupChange, GroupDetail};
use crate::model::{
    GROUP_COUNT_MAX, GroupAction, GroupCounts, GroupId, GroupState, GroupWork, ImageReference, InvalidImageReference,
    OperationKind, Policies, ProcessGroup, User,
};
use crate::platform::{Error, OwnerHandle, Platform};
use crate::store::{StoreError, apps, domains, formations, process_groups};

impl Platform {
    /// Starts all stopped instances of a group (spec §4).
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] in a state that does not allow it. So for all that follow.
    pub async fn start_group(&self, owner: &User, id: GroupId) -> Result<GroupDetail, Error> {
        self.act(owner, id, Intent::Start).await
    }

    /// Stops all running instances of a group.
    pub async fn stop_group(&self, owner: &User, id: GroupId) -> Result<GroupDetail, Error> {
        self.act(owner, id, Intent::Stop).await
    }

    /// Replaces all instances of a group by new ones, of the same image or of another tag of it. An image that cannot be
    /// had leaves the old ones alone.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `tag`.
    pub async fn redeploy_group(&self, owner: &User, id: GroupId, tag: Option<String>) -> Result<GroupDetail, Error> {
        let group = self.owned_group(owner, id).await?;
        let image = retagged(&group, tag.as_deref())?;
        self.act(owner, id, Intent::Replace(image)).await
    }

    /// Destroys a group and all that it has. A process type of an app goes with its app, if it is the only one there.
    pub async fn terminate_group(&self, owner: &User, id: GroupId) -> Result<GroupDetail, Error> {
        let group = self.owned_group(owner, id).await?;
        let others = formations::get(self.0.store.pool(), group.app_id).await?.0.len();
        if !group.is_managed && others > 1 {
            return Err(Error::Refused(format!(
                "{} is one of {others} process types of its app, which cannot go alone; scale it to 0, or destroy the app",
                group.unique_name
            )));
        }
        self.act(owner, id, Intent::Terminate).await
    }

    /// Changes the count, policies and host name of a group. All of it is checked before any of it is done.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `wanted` or `domain`, [`Error::Taken`] with field `domain`.
    pub async fn update_group(&self, owner: &User, id: GroupId, change: GroupChange) -> Result<GroupDetail, Error> {
        let group = self.owned_group(owner, id).await?;
        if let Some(wanted) = change.wanted.filter(|wanted| *wanted > GROUP_COUNT_MAX) {
            return Err(Error::invalid("wanted", format!("{wanted} is not a number from 0 to {GROUP_COUNT_MAX}")));
        }
        let domain = change.domain.as_ref().filter(|domain| group.domain.as_deref() != Some(domain.as_str()));
        if let Some(domain) = domain {
            self.check_domain_of(owner, domain).await?;
        }
        let shown = self.group(owner, id).await?.view;
        if !shown.state.allows(GroupAction::Change, GroupWork::None, GroupCounts::default()) {
            return Err(Error::Refused(format!("{} is {}", group.unique_name, shown.state)));
        }
        let scaled = change.wanted.filter(|wanted| *wanted != shown.group.wanted);
        if let Some(wanted) = scaled {
            // First, since it alone may be refused for what is under way.
            self.act(owner, id, Intent::Scale(wanted)).await?;
        }
        self.change_rest(owner, &group, &change).await?;
        self.group(owner, id).await
    }

    async fn change_rest(&self, owner: &User, group: &ProcessGroup, change: &GroupChange) -> Result<(), Error> {
        let mut tx = self.0.store.begin().await?;
        process_groups::lock(&mut *tx, group.id).await?;
        let now = process_groups::by_id(&mut *tx, group.id).await?;
        let now = now.ok_or_else(|| Error::NotFound(format!("application {}", group.id)))?;
        if now.is_managed {
            let policies = Policies {
                restart: change.restart.unwrap_or(now.policies.restart),
                replace: change.replace.unwrap_or(now.policies.replace),
                destroy: change.destroy.unwrap_or(now.policies.destroy),
            };
            process_groups::set_policies(&mut *tx, group.id, &policies).await?;
        }
        let domain = change.domain.as_ref().filter(|domain| now.domain.as_deref() != Some(domain.as_str()));
        if let Some(domain) = domain {
            if let Some(before) = now.domain.as_deref().and_then(|before| before.parse().ok()) {
                domains::delete(&mut *tx, &before, now.app_id).await?;
            }
            super::create::insert_domain(&mut tx, domain, now.app_id, owner).await?;
            process_groups::set_domain(&mut *tx, now.id, domain.as_str()).await?;
        }
        tx.commit().await.map_err(StoreError::from)?;
        if domain.is_some()
            && let Some(app) = apps::by_id(self.0.store.pool(), now.app_id).await?
        {
            self.tell_router(Some(&app)).await;
            self.certificates_may_be_due();
        }
        Ok(())
    }

    /// Records an intent, has it carried out, and shows the group as it is now.
    async fn act(&self, owner: &User, id: GroupId, intent: Intent) -> Result<GroupDetail, Error> {
        let (platform, owner) = (self.clone(), owner.clone());
        self.owned(async move {
            let (live, group) = platform.begin_on_group(&owner, id, &intent).await?;
            let app = group.app_id;
            platform.0.logs.note(app, "api", &format!("{} {} {}", owner.username, intent.said(), group.unique_name));
            let detail = platform.group(&owner, id).await;
            match live.operation().kind {
                OperationKind::Scale | OperationKind::Restart => {
                    platform.carry_out_for_app(live, &owner, &group, &intent)
                }
                _ => platform.carry_out(live),
            }
            detail
        })
        .await
    }

    /// A group of that owner.
    pub(super) async fn owned_group(&self, owner: &User, id: GroupId) -> Result<ProcessGroup, Error> {
        let found = process_groups::by_id(self.0.store.pool(), id).await?.filter(|group| group.owner_id == owner.id);
        found.ok_or_else(|| Error::NotFound(format!("application {id}")))
    }

    /// The owner's handle of a group's app.
    pub(super) async fn app_of_group(&self, owner: &User, group: &ProcessGroup) -> Result<OwnerHandle, Error> {
        let app = apps::by_id(self.0.store.pool(), group.app_id).await?;
        let app = app.ok_or_else(|| Error::NotFound(format!("application {}", group.id)))?;
        Ok(OwnerHandle::of_owner(app, owner))
    }
}

/// The group's image with another tag, or as it is.
pub(super) fn retagged(group: &ProcessGroup, tag: Option<&str>) -> Result<String, Error> {
    let Some(tag) = tag else { return Ok(group.image.clone()) };
    if !group.is_managed {
        return Err(Error::invalid("tag", "what an app runs is built by its pushes and has no tag to choose"));
    }
    let problem = |_: InvalidImageReference| Error::invalid("tag", format!("'{tag}' is not the tag of an image"));
    let image = group.image.parse::<ImageReference>().map_err(problem)?;
    Ok(image.with_tag(tag).map_err(problem)?.to_string())
}

/// What a state says, for messages.
pub(super) fn refused(name: &str, action: &str, state: impl std::fmt::Display) -> Error {
    Error::Refused(format!("{name} cannot be {action} while it is {state}"))
}

/// The state of a group as it is shown: an end that has begun goes before everything.
pub(super) fn state_of(group: &ProcessGroup, is_destroying: bool, work: GroupWork, counts: GroupCounts) -> GroupState {
    if group.is_terminated() {
        GroupState::Terminated
    } else if is_destroying {
        GroupState::Terminating
    } else {
        GroupState::derive(work, counts)
    }
}
