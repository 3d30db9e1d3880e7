//! Links between groups: found when a group is made, told when it is shown.

use std::collections::BTreeSet;

use super::{LinkTarget, NewLink};
use crate::model::{
    Environment, GroupId, GroupInstance, GroupInstanceState, GroupLink, ProcessGroup, User, instance_variables,
    url_variable, variable_prefix,
};
use crate::platform::{Error, Platform};
use crate::store::process_groups;

impl Platform {
    /// The links of a group that is being made, to groups of the same owner.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a group that is not there, and for two links whose variables would have the same names.
    pub(super) async fn resolve_links(
        &self,
        owner: &User,
        from: GroupId,
        wanted: &[NewLink],
    ) -> Result<Vec<GroupLink>, Error> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        self.name_groups_of(owner).await?;
        let groups = process_groups::of_owner(self.0.store.pool(), owner.id).await?;
        let (mut links, mut prefixes) = (Vec::new(), BTreeSet::new());
        for link in wanted {
            let is_target = |group: &&ProcessGroup| match &link.to {
                LinkTarget::Id(id) => group.id == *id,
                LinkTarget::UniqueName(name) => group.unique_name == *name,
            };
            let to = groups.iter().filter(|group| !group.is_terminated()).find(is_target);
            let to = to.ok_or_else(|| Error::invalid("links", format!("there is no {}", said(&link.to))))?;
            let link = GroupLink { from, to: to.id, name: link.name.clone(), to_unique_name: to.unique_name.clone() };
            if !prefixes.insert(link.prefix()) {
                let text =
                    format!("two links would set variables that begin with {}; name one otherwise", link.prefix());
                return Err(Error::invalid("links", text));
            }
            links.push(link);
        }
        Ok(links)
    }

    /// What a group that links to this one would be told now; `set` is what a person set of this one's environment.
    pub(super) fn told_of(&self, group: &ProcessGroup, set: &Environment, instances: &[GroupInstance]) -> Environment {
        let prefix = variable_prefix(&group.unique_name);
        let url = group.terms.link_url.as_ref().filter(|_| !group.is_terminated());
        let mut variables: Environment = url.map(|terms| url_variable(&prefix, terms, group.id)).into_iter().collect();
        for instance in instances {
            variables.extend(self.told_of_one(group, set, instance));
        }
        variables
    }

    /// One instance's part of that; nothing unless it runs.
    pub(super) fn told_of_one(&self, group: &ProcessGroup, set: &Environment, instance: &GroupInstance) -> Environment {
        if instance.state != GroupInstanceState::Running {
            return Environment::new();
        }
        let address = instance.address(&group.unique_name, group.owner.as_str(), &self.0.settings.domain);
        instance_variables(&variable_prefix(&group.unique_name), instance.number, &address, &instance.ports, set)
    }
}

fn said(target: &LinkTarget) -> String {
    match target {
        LinkTarget::Id(id) => format!("application {id}"),
        LinkTarget::UniqueName(name) => format!("application '{name}'"),
    }
}
