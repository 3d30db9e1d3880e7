//! Instances of managed process groups: each is brought from the state that its row asks for to the one after it.
//!
//! The rows say what is wanted; nothing here is lost by a crash. *Starting*, *stopping* and *terminating* are intents, and
//! whoever finds one carries it out: the platform's task that recorded it, or the watch. One instance is worked on by one
//! task at a time. Every way through ends within bounds, so that no instance stays between two states.

mod end;
mod environment;
mod image;
mod launch;
mod ports;
mod routing;
mod spec;
mod watch;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::{RolloutError, Rollouts};
use crate::engine::{Container, ContainerState, EngineError, ExitStatus, Labels, label};
use crate::model::{BuildId, GroupInstance, GroupInstanceState, InstanceId};
use crate::store::StoreError;
use crate::store::group_instances::{self, Move};

pub use ports::is_free as is_port_free;
pub use watch::lowest_free_number;

/// How long an instance may take from *starting* to *running*, the fetch of its image aside.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long stopping or removing one may take while the engine is away or refuses.
const END_LIMIT: Duration = Duration::from_secs(120);
/// Between two tries at an engine that is away.
const RETRY: Duration = Duration::from_millis(500);

/// The ports of the host that containers may be published on.
pub type PortRange = RangeInclusive<u16>;

/// What this part of the stage remembers.
#[derive(Default)]
pub(super) struct Groups {
    /// Who works on an instance holds its turn.
    turns: Mutex<HashMap<InstanceId, Arc<tokio::sync::Mutex<()>>>>,
    /// Who fetches the image of a build holds its turn.
    fetches: Mutex<HashMap<BuildId, Arc<tokio::sync::Mutex<()>>>>,
    /// Wakes the watch.
    pub(super) changed: Notify,
}

impl Groups {
    fn turn_of(&self, id: InstanceId) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().expect("no panic while held");
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(id).or_default())
    }

    fn fetch_of(&self, id: BuildId) -> Arc<tokio::sync::Mutex<()>> {
        let mut fetches = self.fetches.lock().expect("no panic while held");
        fetches.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(fetches.entry(id).or_default())
    }
}

impl Rollouts {
    /// Carries out what an instance's row asks for until it asks for nothing: it runs, is stopped or gone, or was stopped
    /// for a reason that its row tells. Cancel-safe; calling again goes on.
    ///
    /// # Errors
    /// When the database fails: the row still asks.
    pub async fn settle_group_instance(&self, id: InstanceId) -> Result<GroupInstanceState, StoreError> {
        let turn = self.0.groups.turn_of(id);
        let _turn = turn.lock().await;
        loop {
            let Some(instance) = self.group_instance(id).await? else { return Ok(GroupInstanceState::Terminated) };
            match instance.state {
                GroupInstanceState::Starting => self.launch_managed(&instance).await?,
                GroupInstanceState::Stopping => self.stop_managed(&instance).await?,
                GroupInstanceState::Terminating => self.remove_managed(&instance).await?,
                settled => return Ok(settled),
            }
            self.0.groups.changed.notify_one();
        }
    }

    async fn group_instance(&self, id: InstanceId) -> Result<Option<GroupInstance>, StoreError> {
        group_instances::get(&self.0.store, id).await
    }

    async fn advance(&self, id: InstanceId, from: GroupInstanceState, to: Move) -> Result<bool, StoreError> {
        group_instances::advance(self.0.store.pool(), id, &[from], &to).await
    }

    /// The container of a managed instance, if it has one.
    async fn container_of(&self, id: InstanceId) -> Result<Option<Container>, EngineError> {
        Ok(self.0.engine.containers(&self.instance_labels(id)).await?.into_iter().next())
    }

    fn managed_labels(&self) -> Labels {
        crate::engine::labels([(label::SERVER, self.0.settings.server_id.as_str()), (label::GROUP, "")])
    }

    /// The end of the last run of an instance, as the engine has it.
    async fn exit_of(&self, id: InstanceId) -> Result<Option<ExitStatus>, EngineError> {
        Ok(self.container_of(id).await?.and_then(|container| match container.state {
            ContainerState::Exited(status) => Some(status),
            ContainerState::Created | ContainerState::Running => None,
        }))
    }
}

/// What an exit code means, for people: `Exit code 0 (Success)`.
pub fn exit_message(status: ExitStatus) -> String {
    let code = status.code;
    let meaning = match code {
        _ if status.out_of_memory => "Out of memory".to_owned(),
        0 => "Success".to_owned(),
        125 => "The container could not be run".to_owned(),
        126 => "The command cannot be executed".to_owned(),
        127 => "The command was not found".to_owned(),
        129..=192 => format!("Ended by signal {}", signal(code - 128)),
        _ => "Failure".to_owned(),
    };
    format!("Exit code {code} ({meaning})")
}

/// The names of the signals that people meet (signal(7)), and the number of any other.
fn signal(number: i64) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        other => return other.to_string(),
    };
    name.to_owned()
}

/// Whether asking again may help: nothing was said about the thing itself.
fn is_away(error: &EngineError) -> bool {
    matches!(error, EngineError::Unreachable(_) | EngineError::TimedOut { .. } | EngineError::Io { .. })
}

/// Why an instance cannot be started, for people.
enum Trouble {
    /// The engine's or the image's fault, in words.
    Told(String),
    /// The database failed.
    Store(StoreError),
    /// The engine is away.
    Away(EngineError),
    /// A port of the host is somebody else's.
    PortTaken(String),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::PortTaken { message, .. } => Self::PortTaken(message),
            error if is_away(&error) => Self::Away(error),
            error => Self::Told(error.to_string()),
        }
    }
}

impl From<RolloutError> for Trouble {
    fn from(error: RolloutError) -> Self {
        match error {
            RolloutError::Engine(error) => error.into(),
            RolloutError::Store(error) => error.into(),
            other => Self::Told(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_explained() {
        let check = |code, out_of_memory, expect: &str| {
            assert_eq!(exit_message(ExitStatus { code, out_of_memory }), expect);
        };
        check(0, false, "Exit code 0 (Success)");
        check(3, false, "Exit code 3 (Failure)");
        check(127, false, "Exit code 127 (The command was not found)");
        check(137, false, "Exit code 137 (Ended by signal SIGKILL)");
        check(137, true, "Exit code 137 (Out of memory)");
        check(160, false, "Exit code 160 (Ended by signal 32)");
    }
}
