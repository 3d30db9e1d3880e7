//! What is put into a container: links' variables, the person's own, and host names that lead to linked containers.

use std::collections::BTreeSet;

use super::super::{Rollouts, Target};
use crate::model::{
    Environment, GroupInstance, GroupInstanceState, ProcessGroup, for_containers, instance_variables, url_variable,
    variable_prefix,
};
use crate::store::group_instances::{self, Of};
use crate::store::{StoreError, configs, process_groups, releases};

impl Rollouts {
    /// The environment of an instance that is deployed now, and the host names that it uses; later wins: links, then the
    /// person's own (spec §10.3).
    pub(super) async fn environment_for(
        &self,
        group: &ProcessGroup,
        target: &Target,
        instance: &GroupInstance,
    ) -> Result<(Environment, BTreeSet<String>), StoreError> {
        let pool = self.0.store.pool();
        let (mut environment, mut names) = (Environment::new(), self.url_host(group));
        for link in process_groups::links_from(pool, group.id).await? {
            let Some(linked) = process_groups::by_id(pool, link.to).await? else { continue };
            if let Some(terms) = &group.terms.link_url {
                environment.extend([url_variable(&link.prefix(), terms, link.to)]);
            }
            let set = self.set_of(&linked).await?;
            for (one, address) in self.running_of(&linked).await? {
                environment.extend(instance_variables(&link.prefix(), one.number, &address, &one.ports, &set));
                names.insert(address);
            }
        }
        if group.is_sequential {
            let prefix = variable_prefix(&group.unique_name);
            let set = for_containers(&target.config.values).collect();
            for (one, address) in self.running_of(group).await? {
                if one.id != instance.id {
                    environment.extend(instance_variables(&prefix, one.number, &address, &one.ports, &set));
                    names.insert(address);
                }
            }
        }
        environment.extend(for_containers(&target.config.values));
        Ok((environment, names))
    }

    /// The host names that a container made anew needs for an environment that was recorded before.
    pub(super) async fn linked_names(
        &self,
        group: &ProcessGroup,
        instance: &GroupInstance,
    ) -> Result<BTreeSet<String>, StoreError> {
        let pool = self.0.store.pool();
        let mut names = self.url_host(group);
        for link in process_groups::links_from(pool, group.id).await? {
            if let Some(linked) = process_groups::by_id(pool, link.to).await? {
                names.extend(self.running_of(&linked).await?.into_iter().map(|(_, address)| address));
            }
        }
        let siblings = self.running_of(group).await?.into_iter().filter(|(one, _)| one.id != instance.id);
        names.extend(siblings.filter(|_| group.is_sequential).map(|(_, address)| address));
        Ok(names)
    }

    /// What a person set of a group's environment.
    async fn set_of(&self, group: &ProcessGroup) -> Result<Environment, StoreError> {
        let store = &self.0.store;
        let Some(release) = releases::latest(store.pool(), group.app_id).await? else { return Ok(Environment::new()) };
        Ok(for_containers(&configs::get(store.pool(), store.sealer(), release.config_id).await?.values).collect())
    }

    /// The running instances of a group, by number, with the host names at which they are reached.
    async fn running_of(&self, group: &ProcessGroup) -> Result<Vec<(GroupInstance, String)>, StoreError> {
        let mut found = group_instances::find(&self.0.store, Of::Group(group.id)).await?;
        found.retain(|instance| instance.state == GroupInstanceState::Running);
        found.sort_by_key(|instance| instance.number);
        let address = |instance: &GroupInstance| {
            instance.address(&group.unique_name, group.owner.as_str(), &self.0.settings.domain)
        };
        Ok(found.into_iter().map(|instance| (instance.clone(), address(&instance))).collect())
    }

    /// The host in the address of a description, if it is a name of the platform: inside a container nothing else would lead
    /// there.
    fn url_host(&self, group: &ProcessGroup) -> BTreeSet<String> {
        let url = group.terms.link_url.as_ref().map(|terms| terms.url.as_str());
        let host = url.and_then(host_of).filter(|host| host.ends_with(&format!(".{}", self.0.settings.domain)));
        host.map(str::to_owned).into_iter().collect()
    }
}

/// The host of an absolute URL, without user and port.
fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    host.split(':').next().filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url_is_found() {
        for (url, expect) in [
            ("http://slipway.example.test:8080/api/v1/", Some("slipway.example.test")),
            ("https://a.test", Some("a.test")),
            ("a.test/b", None),
            ("http:///b", None),
        ] {
            assert_eq!(host_of(url), expect, "{url}");
        }
    }
}
