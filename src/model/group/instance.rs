//! Instances of groups, each with a life of its own.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::super::build::words;
use super::super::{AppId, GroupId, InstanceId, ReleaseId, Timestamp};
use super::{InstanceAction, Protocol, address_of};

/// Where an instance stands (spec §8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GroupInstanceState {
    /// Recorded, not deployed.
    Init,
    /// Being deployed or started, or between two automatic restarts.
    Starting,
    /// Runs.
    Running,
    /// Being stopped.
    Stopping,
    /// Does not run; what it wrote is kept.
    Stopped,
    /// Being destroyed.
    Terminating,
    /// Gone.
    Terminated,
}

words!(
    GroupInstanceState,
    "instance state",
    Init = "init",
    Starting = "starting",
    Running = "running",
    Stopping = "stopping",
    Stopped = "stopped",
    Terminating = "terminating",
    Terminated = "terminated",
);

impl GroupInstanceState {
    /// Whether the instance counts as one of its group: it is neither gone nor on its way out.
    pub fn is_live(self) -> bool {
        !matches!(self, Self::Terminating | Self::Terminated)
    }

    /// Whether somebody has to bring it on to another state.
    pub fn is_transitional(self) -> bool {
        matches!(self, Self::Starting | Self::Stopping | Self::Terminating)
    }

    /// Whether an action may begin in this state. `is_automatic` says that *starting* comes from a policy and not from a
    /// request: a crash loop can be ended.
    pub fn allows(self, action: InstanceAction, is_automatic: bool) -> bool {
        use InstanceAction as A;
        match self {
            Self::Init => matches!(action, A::Start | A::Terminate),
            Self::Starting => is_automatic && matches!(action, A::Stop | A::Terminate),
            Self::Running => matches!(action, A::Stop | A::Redeploy | A::Terminate),
            Self::Stopped => matches!(action, A::Start | A::Redeploy | A::Terminate),
            Self::Stopping | Self::Terminating | Self::Terminated => false,
        }
    }
}

/// A port of one container as the host publishes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The port inside.
    pub inner: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The port on the host.
    pub outer: u16,
}

/// One instance of a group.
#[derive(Debug, Clone)]
pub struct GroupInstance {
    /// Stable identity; its container carries it as a label.
    pub id: InstanceId,
    /// Its group.
    pub group_id: GroupId,
    /// The app of its group.
    pub app_id: AppId,
    /// The release that it was deployed from.
    pub release_id: ReleaseId,
    /// The smallest positive number that no live instance of the group had.
    pub number: u32,
    /// Where it stands.
    pub state: GroupInstanceState,
    /// Whether the state came about by itself: a start by a policy, an end that nobody asked for.
    pub is_automatic: bool,
    /// The image reference that it was deployed from.
    pub image: String,
    /// Exit code of the last run; `None` while it runs and before the first. 128 + signal for one that was killed.
    pub exit_code: Option<i64>,
    /// What that code means; why it never started.
    pub exit_message: Option<String>,
    /// Its published ports, once it was deployed.
    pub ports: Vec<PublishedPort>,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// First deployment.
    pub deployed_at: Option<Timestamp>,
    /// Last start.
    pub started_at: Option<Timestamp>,
    /// Last stop, by whomever.
    pub stopped_at: Option<Timestamp>,
    /// End of its termination.
    pub destroyed_at: Option<Timestamp>,
}

impl GroupInstance {
    /// `<unique name of the group>-<number>`
    pub fn unique_name(&self, group_unique_name: &str) -> String {
        format!("{group_unique_name}-{}", self.number)
    }

    /// The host name under which its published ports are reached.
    pub fn address(&self, group_unique_name: &str, owner: &str, domain: &str) -> String {
        address_of(&self.unique_name(group_unique_name), owner, domain)
    }
}
