//! Instances: wanted containers, each with a life of its own across engine restarts.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::build::words;
use super::{AppId, InstanceId, OperationId, ProcessType, ReleaseId, Timestamp};

/// Where an instance stands between being wanted and being gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceState {
    /// Recorded by a rollout that has not switched yet. Removed if that rollout does not get there.
    Planned,
    /// Wanted: supervised, and routed to if its type takes traffic.
    Live,
    /// Wanted, but stopped for the operation that is under way. Live again if that does not switch, gone if it does.
    Parked,
    /// Wanted, but stopped because somebody asked for that; it has no container, and nobody starts it unasked.
    Halted,
    /// No longer wanted: gets no new requests and is removed once its requests are done.
    Draining,
}

words!(
    InstanceState,
    "instance state",
    Planned = "planned",
    Live = "live",
    Parked = "parked",
    Halted = "halted",
    Draining = "draining",
);

/// One wanted container.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Stable identity, carried by the engine container as a label.
    pub id: InstanceId,
    /// Whose instance.
    pub app_id: AppId,
    /// What it runs.
    pub release_id: ReleaseId,
    /// Version of that release, for display.
    pub version: i64,
    /// Which process.
    pub process: ProcessType,
    /// 1 and up within the type.
    pub number: u32,
    /// Where it stands.
    pub state: InstanceState,
    /// The operation that wanted it.
    pub operation_id: OperationId,
    /// Where it was last seen to answer; `None` for types without a port.
    pub address: Option<SocketAddr>,
    /// When it was wanted.
    pub created_at: Timestamp,
    /// When its row last changed.
    pub updated_at: Timestamp,
}

impl Instance {
    /// `web.1`
    pub fn label(&self) -> String {
        format!("{}.{}", self.process, self.number)
    }
}
