//! Groups and instances as doors show them: lists, by what they have to be, and details.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::actions::state_of;
use super::of_apps::{destroying, text_of};
use super::{GroupDetail, GroupFilter, GroupInstanceDetail, GroupInstanceFilter, GroupInstanceView, GroupView};
use crate::model::{
    AppId, Environment, GroupCounts, GroupId, GroupInstance, GroupWork, InstanceId, OperationKind, ProcessGroup,
    Protocol, User,
};
use crate::platform::{Error, Listing, Platform};
use crate::release;
use crate::store::group_instances::{self, Of};
use crate::store::{Page, apps, instances, operations, process_groups};

/// All of a person's groups, with what decides how they are shown.
struct Scene {
    groups: Vec<ProcessGroup>,
    instances: HashMap<GroupId, Vec<GroupInstance>>,
    work: HashMap<AppId, OperationKind>,
    destroying: HashSet<AppId>,
    apps: HashMap<AppId, String>,
}

impl Platform {
    /// A person's own groups that `filter` lets through, in order of creation; those that were terminated less than five
    /// minutes ago, too (spec §3).
    pub async fn groups(&self, owner: &User, filter: &GroupFilter, page: Page) -> Result<Listing<GroupView>, Error> {
        let scene = self.scene(owner).await?;
        let all = scene.groups.iter().map(|group| self.view_of(&scene, group));
        Ok(cut(all.filter(|view| filter.lets(view)).collect(), page))
    }

    /// One of a person's own groups.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for one that was terminated five minutes ago.
    pub async fn group(&self, owner: &User, id: GroupId) -> Result<GroupDetail, Error> {
        let work = self.work().await?;
        let group = self.owned_group(owner, id).await?;
        let pool = self.0.store.pool();
        let missing = || Error::NotFound(format!("application {id}"));
        let (group, environment) = if group.is_managed {
            let environment = self.environment_of(&group).await?;
            (group, environment)
        } else {
            self.filled(group).await?.ok_or_else(missing)?
        };
        let scene = self.scene_of(vec![group.clone()], owner, work).await?;
        let view = self.view_of(&scene, &group);
        let told = self.told_of(&group, &environment, scene.instances.get(&id).map_or(&[], Vec::as_slice));
        Ok(GroupDetail {
            view,
            environment,
            link_variables: told,
            links: process_groups::links_from(pool, id).await?,
            linked_from: process_groups::links_to(pool, id).await?,
        })
    }

    /// The instances of a person's own groups that `filter` lets through, in order of creation.
    pub async fn group_instances(
        &self,
        owner: &User,
        filter: &GroupInstanceFilter,
        page: Page,
    ) -> Result<Listing<GroupInstanceView>, Error> {
        let scene = self.scene(owner).await?;
        let mut found = Vec::new();
        for group in &scene.groups {
            if !filter.group.lets(&self.view_of(&scene, group)) {
                continue;
            }
            let instances = scene.instances.get(&group.id).into_iter().flatten();
            found.extend(instances.map(|one| self.view_of_one(group, one)).filter(|view| filter.lets(view)));
        }
        found.sort_by_key(|view| (view.instance.created_at, view.instance.number, view.instance.id));
        Ok(cut(found, page))
    }

    /// One instance of a person's own groups.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for one that was terminated five minutes ago.
    pub async fn group_instance(&self, owner: &User, id: InstanceId) -> Result<GroupInstanceDetail, Error> {
        let store = &self.0.store;
        let missing = || Error::NotFound(format!("container {id}"));
        let managed = group_instances::get(store, id).await?;
        let (group, instance, set, environment) = match managed {
            Some(instance) => {
                let group = self.owned_group(owner, instance.group_id).await.map_err(|_| missing())?;
                let environment = group_instances::environment(store.pool(), store.sealer(), id).await?;
                let set = self.environment_of(&group).await?;
                (group, instance, set, environment.unwrap_or_default())
            }
            None => {
                let (group, instance, set) = self.instance_of_app(owner, id).await?.ok_or_else(missing)?;
                (group, instance, set.clone(), set)
            }
        };
        let link_variables = self.told_of_one(&group, &set, &instance);
        Ok(GroupInstanceDetail { view: self.view_of_one(&group, &instance), environment, link_variables })
    }

    async fn instance_of_app(
        &self,
        owner: &User,
        id: InstanceId,
    ) -> Result<Option<(ProcessGroup, GroupInstance, Environment)>, Error> {
        let pool = self.0.store.pool();
        let Some(row) = instances::get(pool, id).await? else { return Ok(None) };
        self.name_groups_of(owner).await?;
        let Some(group) = process_groups::of_process(pool, row.app_id, &row.process).await? else { return Ok(None) };
        let Ok(group) = self.owned_group(owner, group).await else { return Ok(None) };
        let Some((group, environment)) = self.filled(group).await? else { return Ok(None) };
        let found = self.instances_of_type(&group).await?.into_iter().find(|one| one.id == id);
        Ok(found.map(|one| (group, one, environment)))
    }

    async fn scene(&self, owner: &User) -> Result<Scene, Error> {
        self.name_groups_of(owner).await?;
        let work = self.work().await?;
        let mut groups = Vec::new();
        for group in process_groups::of_owner(self.0.store.pool(), owner.id).await? {
            if group.is_managed {
                groups.push(group);
            } else if let Some((group, _)) = self.filled(group).await? {
                groups.push(group);
            }
        }
        self.scene_of(groups, owner, work).await
    }

    /// What is under way, by app. Read before the groups: an operation ends after all else that it writes, so that a group
    /// whose operation was over shows all that it did, its dates, too.
    async fn work(&self) -> Result<HashMap<AppId, OperationKind>, Error> {
        let live = operations::live(self.0.store.pool()).await?;
        Ok(live.into_iter().map(|operation| (operation.app_id, operation.kind)).collect())
    }

    /// Groups with their instances: those that are managed in one query, the others app by app.
    async fn scene_of(
        &self,
        groups: Vec<ProcessGroup>,
        owner: &User,
        work: HashMap<AppId, OperationKind>,
    ) -> Result<Scene, Error> {
        let pool = self.0.store.pool();
        let of = match &groups[..] {
            [only] => Of::Group(only.id),
            _ => Of::Owner(owner.id),
        };
        let managed = group_instances::find(&self.0.store, of).await?;
        let mut instances: HashMap<GroupId, Vec<GroupInstance>> = HashMap::new();
        for instance in managed {
            instances.entry(instance.group_id).or_default().push(instance);
        }
        for group in groups.iter().filter(|group| !group.is_managed && !group.is_terminated()) {
            instances.insert(group.id, self.instances_of_type(group).await?);
        }
        let owned = apps::owned_by(pool, owner.id).await?;
        Ok(Scene {
            groups,
            instances,
            work,
            destroying: destroying(&owned),
            apps: owned.into_iter().map(|app| (app.id, app.name.to_string())).collect(),
        })
    }

    fn view_of(&self, scene: &Scene, group: &ProcessGroup) -> GroupView {
        let instances = scene.instances.get(&group.id).map_or(&[][..], Vec::as_slice);
        let counts = GroupCounts::of(instances.iter().map(|one| (one.state, one.is_automatic)));
        let work = scene.work.get(&group.app_id).map_or(GroupWork::None, |kind| GroupWork::Under(*kind));
        let state = state_of(group, scene.destroying.contains(&group.app_id), work, counts);
        // With a terminated group went those that ended when it did; with a live one its live ones, and while it is ending
        // those that are ending with it.
        let is_listed = |one: &&GroupInstance| match group.destroyed_at {
            Some(end) => one.destroyed_at.is_some_and(|at| at >= end || end.millis() - at.millis() < 1000),
            None => one.state.is_live() || scene.destroying.contains(&group.app_id) && one.destroyed_at.is_none(),
        };
        let mut listed: Vec<&GroupInstance> = instances.iter().filter(is_listed).collect();
        listed.sort_by_key(|one| (one.number, one.created_at));
        GroupView {
            state,
            counts,
            instances: listed.into_iter().map(|one| one.id).collect(),
            web_host: self.web_host_of(scene, group),
            group: group.clone(),
        }
    }

    fn web_host_of(&self, scene: &Scene, group: &ProcessGroup) -> Option<String> {
        let app = scene.apps.get(&group.app_id)?;
        let has_port = !group.is_managed || group.ports.iter().any(|port| port.protocol == Protocol::Tcp);
        if !group.process.is_routed() || !has_port {
            return None;
        }
        Some(group.domain.clone().unwrap_or_else(|| format!("{app}.{}", self.0.settings.domain)))
    }

    fn view_of_one(&self, group: &ProcessGroup, instance: &GroupInstance) -> GroupInstanceView {
        GroupInstanceView {
            unique_name: instance.unique_name(&group.unique_name),
            address: instance.address(&group.unique_name, group.owner.as_str(), &self.0.settings.domain),
            instance: instance.clone(),
            group: group.clone(),
        }
    }

    /// What the owner of a managed group set; nothing once its app is gone.
    async fn environment_of(&self, group: &ProcessGroup) -> Result<Environment, Error> {
        match release::current(&self.0.store, group.app_id).await {
            Ok(current) => Ok(text_of(&current.config.values)),
            Err(_) if apps::by_id(self.0.store.pool(), group.app_id).await?.is_none() => Ok(BTreeMap::new()),
            Err(error) => Err(error.into()),
        }
    }
}

fn cut<T>(all: Vec<T>, page: Page) -> Listing<T> {
    let total = i64::try_from(all.len()).unwrap_or(i64::MAX);
    let size = |n: i64| usize::try_from(n).unwrap_or(usize::MAX);
    let entries = all.into_iter().skip(size(page.offset.max(0))).take(size(page.limit.max(0))).collect();
    Listing { total, entries }
}

fn is(wanted: Option<&String>, value: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == value)
}

impl GroupFilter {
    fn lets(&self, view: &GroupView) -> bool {
        let id = view.group.id.to_string();
        is(self.name.as_ref(), view.group.name.as_str())
            && is(self.unique_name.as_ref(), view.group.unique_name.as_str())
            && self.states.as_ref().is_none_or(|states| states.contains(&view.state))
            && is(self.id.as_ref(), id.as_str())
            && self.id_prefix.as_ref().is_none_or(|prefix| id.starts_with(prefix.as_str()))
    }
}

impl GroupInstanceFilter {
    fn lets(&self, view: &GroupInstanceView) -> bool {
        let id = view.instance.id.to_string();
        is(self.name.as_ref(), view.group.name.as_str())
            && is(self.unique_name.as_ref(), view.unique_name.as_str())
            && self.states.as_ref().is_none_or(|states| states.contains(&view.instance.state))
            && is(self.id.as_ref(), id.as_str())
            && self.id_prefix.as_ref().is_none_or(|prefix| id.starts_with(prefix.as_str()))
    }
}
