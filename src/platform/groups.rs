//! Process groups: the verbs of their own life, and how they are shown.
//!
//! A change of a group is an operation like any other, checked and begun in one transaction: of two at once one wins, and
//! the other is refused. What it changed is already recorded when the verb returns; a task of the platform carries it out,
//! and a restarted server goes on with it.

mod actions;
mod begin;
mod carry_out;
mod create;
mod grants;
mod links;
mod list;
mod logs;
mod of_apps;
mod one;
mod replace;
mod rules;
mod show;
#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeMap;

pub use grants::GrantedCaller;

use crate::model::{
    DomainName, Environment, GroupCounts, GroupId, GroupInstance, GroupLink, GroupPort, GroupState, InstanceId,
    Policies, Policy, ProcessGroup, Size, Terms,
};

/// A managed group to make.
#[derive(Debug, Clone, Default)]
pub struct NewGroup {
    /// 1 to 64 of `[A-Za-z0-9_-]`, a letter or digit first; made from the image's name when there is none.
    pub name: Option<String>,
    /// The image, `[host[:port]/][namespace/]name[:tag]`; tag `latest` when none is given.
    pub image: String,
    /// Wanted count, 1 to 100.
    pub wanted: u32,
    /// Replaces the image's command; split as a shell would.
    pub command: Option<String>,
    /// Replaces the image's entry point; split as a shell would. An empty text clears it.
    pub entrypoint: Option<String>,
    /// Ports to publish; those that the image exposes when `None`.
    pub ports: Option<Vec<GroupPort>>,
    /// What bounds each container.
    pub size: Size,
    /// Environment, over the image's own and that of links.
    pub environment: Environment,
    /// Links to other groups of the same owner.
    pub links: Vec<NewLink>,
    /// What becomes of containers that end by themselves.
    pub policies: Policies,
    /// Whether containers are deployed one after another, each with the variables of those before it.
    pub is_sequential: bool,
    /// Scopes that the containers get a credential for. Their meaning is the door's, which has checked them.
    pub grants: Vec<String>,
    /// The words of what Slipway puts into containers by itself.
    pub terms: Terms,
    /// A host name of one's own at which the app answers, besides its own one.
    pub domain: Option<DomainName>,
}

/// A link to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLink {
    /// The group to link to.
    pub to: LinkTarget,
    /// What the link is called; the unique name of its target when `None`.
    pub name: Option<String>,
}

/// How the target of a link was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkTarget {
    /// By its id.
    Id(GroupId),
    /// By its unique name.
    UniqueName(String),
}

/// What is changed of a group. `None` leaves it as it is. All of it is checked before any of it is done.
#[derive(Debug, Clone, Default)]
pub struct GroupChange {
    /// Wanted count, 0 to 100.
    pub wanted: Option<u32>,
    /// The restart policy.
    pub restart: Option<Policy>,
    /// The replace policy.
    pub replace: Option<Policy>,
    /// The destroy policy.
    pub destroy: Option<Policy>,
    /// A host name of one's own, in place of the one that was given before.
    pub domain: Option<DomainName>,
}

/// What restricts a list of groups; all that is given must match, exactly.
#[derive(Debug, Clone, Default)]
pub struct GroupFilter {
    /// The display name.
    pub name: Option<String>,
    /// The unique name.
    pub unique_name: Option<String>,
    /// Any of these states; a state that the door does not know is an empty list, which nothing matches.
    pub states: Option<Vec<GroupState>>,
    /// The id, in its printed form.
    pub id: Option<String>,
    /// What the printed id begins with.
    pub id_prefix: Option<String>,
}

/// What restricts a list of instances.
#[derive(Debug, Clone, Default)]
pub struct GroupInstanceFilter {
    /// The display name, which is the group's.
    pub name: Option<String>,
    /// The unique name.
    pub unique_name: Option<String>,
    /// Any of these states.
    pub states: Option<Vec<crate::model::GroupInstanceState>>,
    /// The id, in its printed form.
    pub id: Option<String>,
    /// What the printed id begins with.
    pub id_prefix: Option<String>,
    /// What its group has to be.
    pub group: GroupFilter,
}

/// A group as doors show it.
#[derive(Debug, Clone)]
pub struct GroupView {
    /// The group.
    pub group: ProcessGroup,
    /// Its state now.
    pub state: GroupState,
    /// How many instances there are of which sort.
    pub counts: GroupCounts,
    /// Live instances by number; of a terminated group those that went with it.
    pub instances: Vec<InstanceId>,
    /// Host name at which the app answers by HTTP, without scheme and port: the one of its own, else `NAME.DOMAIN`; `None`
    /// for a type that takes no requests, and without TCP ports.
    pub web_host: Option<String>,
}

/// A group with what only its detail shows.
#[derive(Debug, Clone)]
pub struct GroupDetail {
    /// The group.
    pub view: GroupView,
    /// What the user set, by name.
    pub environment: Environment,
    /// What a group that links to it, under its unique name and with its terms, would be told now.
    pub link_variables: BTreeMap<String, String>,
    /// Links from it, in the order in which they were given.
    pub links: Vec<GroupLink>,
    /// Links to it, older ones first.
    pub linked_from: Vec<GroupLink>,
}

/// An instance as doors show it.
#[derive(Debug, Clone)]
pub struct GroupInstanceView {
    /// The instance.
    pub instance: GroupInstance,
    /// Its group.
    pub group: ProcessGroup,
    /// Its unique name.
    pub unique_name: String,
    /// The host name under which its published ports are reached.
    pub address: String,
}

/// An instance with what only its detail shows.
#[derive(Debug, Clone)]
pub struct GroupInstanceDetail {
    /// The instance.
    pub view: GroupInstanceView,
    /// What Slipway put into it, of the user's and of links; never the credential.
    pub environment: Environment,
    /// Its own part of what links to its group tell; empty unless it runs.
    pub link_variables: BTreeMap<String, String>,
}
