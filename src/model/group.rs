//! Process groups: one process type of one app, with its own command, ports, size, policies and wanted run state.
//!
//! A *managed* group was made by itself, from an image: its containers live on through stops and starts, have ports on the
//! host, and what becomes of one that ends is decided by the group's policies. Any other group is a process type of a
//! deployed app: its instances belong to rollouts and the supervisor, and it is only shown and steered here.

mod command;
mod instance;
mod link;
mod name;
mod policy;
mod state;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{AppId, GroupId, ProcessType, Timestamp, UserId, Username};

pub use command::{CommandLine, InvalidCommandLine};
pub use instance::{GroupInstance, GroupInstanceState, PublishedPort};
pub use link::{GroupLink, instance_variables, url_variable, variable_prefix};
pub use name::{address_of, group_name_of_image, numbered_name, slug_of};
pub use policy::{Budget, Ending, Policies, Policy, Remedy};
pub use state::{GroupAction, GroupCounts, GroupState, GroupWork, InstanceAction};

/// Most containers of one managed group.
pub const GROUP_COUNT_MAX: u32 = 100;
/// Longest display name.
pub const GROUP_NAME_MAX: usize = 64;
/// How long a terminated group or instance is still listed, in milliseconds: exactly five minutes.
pub const TOMBSTONE_MILLIS: i64 = 300_000;

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP, which comes first wherever ports are ordered.
    Tcp,
    /// UDP.
    Udp,
}

super::build::words!(Protocol, "protocol", Tcp = "tcp", Udp = "udp");

/// A port that the containers of a group listen on and that is published on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupPort {
    /// The port inside the container.
    pub inner: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The port on the host that was asked for; `None` to have one chosen for each container.
    pub outer: Option<u16>,
}

/// What bounds each container of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Size {
    /// The name of the size, as whoever made the group calls it; empty where it has none.
    pub name: String,
    /// Hard memory limit in bytes, swap included; `None` for no limit of its own.
    pub memory_bytes: Option<i64>,
    /// Relative CPU weight; 1024 is the engine's default, which `None` stands for.
    pub cpu_shares: Option<i64>,
}

/// How what Slipway puts into containers by itself is worded: names that the door promised its clients.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// A variable per link that says where the linked group is described; `None` for none.
    pub link_url: Option<LinkUrl>,
    /// The variable that carries the credential of a group with grants.
    pub credential: Option<CredentialTerms>,
}

/// A variable that leads to the description of a linked group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkUrl {
    /// What follows the link's prefix and an underscore in the variable's name.
    pub suffix: String,
    /// Its value; `{group}` stands for the id of the linked group.
    pub url: String,
}

/// The variable of a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialTerms {
    /// Its name, which nobody may set in the group's environment.
    pub variable: String,
    /// Its value; `{owner}` stands for the owner's user name, `{token}` for the secret.
    pub value: String,
}

/// One process type of one app.
#[derive(Debug, Clone)]
pub struct ProcessGroup {
    /// Stable identity, a random (version 4) UUID.
    pub id: GroupId,
    /// Whose process type. The app's id stays here when the app is gone.
    pub app_id: AppId,
    /// Which process type; `cmd` for a managed group.
    pub process: ProcessType,
    /// Who owns the app.
    pub owner_id: UserId,
    /// The owner's name.
    pub owner: Username,
    /// What it was called; need not be unique.
    pub name: String,
    /// The name that no other group which is not terminated has.
    pub unique_name: String,
    /// Whether its containers have the life cycle of a managed group.
    pub is_managed: bool,
    /// The image reference, with its tag; for a pushed app what its release runs.
    pub image: String,
    /// Wanted count.
    pub wanted: u32,
    /// The last wish about running: false after a stop, until something starts it again.
    pub should_run: bool,
    /// The command as it was given; `None` for the image's own.
    pub command: Option<CommandLine>,
    /// The entry point as it was given; `None` for the image's own.
    pub entrypoint: Option<CommandLine>,
    /// The image's own command; empty until the image is known.
    pub image_command: Vec<String>,
    /// The image's own entry point; empty until the image is known, and when it has none.
    pub image_entrypoint: Vec<String>,
    /// Published ports, by inner port and protocol. Without any that were asked for: those that the image exposes, once it
    /// is known.
    pub ports: Vec<GroupPort>,
    /// Whether the ports are those that the image exposes.
    pub takes_image_ports: bool,
    /// What bounds each container.
    pub size: Size,
    /// What becomes of containers that end by themselves.
    pub policies: Policies,
    /// Whether containers are deployed one after another, each with the variables of those before it.
    pub is_sequential: bool,
    /// Scopes that its containers hold a credential for.
    pub grants: Vec<String>,
    /// The words of what Slipway puts into its containers.
    pub terms: Terms,
    /// The host name of its own that was asked for, as it was given.
    pub domain: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its containers were last deployed; `None` until that first succeeded.
    pub deployed_at: Option<Timestamp>,
    /// The last completed start; a deployment is one.
    pub started_at: Option<Timestamp>,
    /// The last completed stop.
    pub stopped_at: Option<Timestamp>,
    /// The end of its termination.
    pub destroyed_at: Option<Timestamp>,
}

impl ProcessGroup {
    /// The command as text: as given, else the image's own, quoted for a shell.
    pub fn command_text(&self) -> String {
        text_of(self.command.as_ref(), &self.image_command)
    }

    /// The entry point as text: as given, else the image's own, quoted for a shell; empty when it has none.
    pub fn entrypoint_text(&self) -> String {
        text_of(self.entrypoint.as_ref(), &self.image_entrypoint)
    }

    /// Whether it is gone.
    pub fn is_terminated(&self) -> bool {
        self.destroyed_at.is_some()
    }
}

fn text_of(given: Option<&CommandLine>, own: &[String]) -> String {
    given.map_or_else(|| CommandLine::quoted(own), |line| line.text().to_owned())
}

/// Environment by name, as a person set it.
pub type Environment = BTreeMap<String, String>;
