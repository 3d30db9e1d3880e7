//! Scheduled commands: what an app asks to be run when, and the runs of it.

mod schedule;
mod zone;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::build::words;
use super::{AppId, InstanceId, Timestamp, UserId};

pub use schedule::{CronSchedule, InvalidSchedule};
pub use zone::{InvalidZone, Zone};

/// Most tasks of one app.
pub const TASKS_MAX: usize = 50;

/// Longest command in bytes.
pub const COMMAND_MAX: usize = 4096;

/// Longest id of a task.
const ID_MAX: usize = 63;

/// Digits of an id that nobody gave.
const ID_DIGITS: usize = 12;

/// Names a task within its app: 1 to 63 characters of `[A-Za-z0-9_-]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CronTaskId(String);

/// The text is no id of a task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not an id; use 1 to {ID_MAX} letters, digits, '-' and '_'")]
pub struct InvalidCronTaskId;

impl CronTaskId {
    /// The id of a task that has none of its own: it stays the same for as long as command, schedule and time zone do.
    pub fn of(command: &str, schedule: &CronSchedule, zone: &Zone) -> Self {
        let mut digest = Sha256::new();
        for part in [command, schedule.as_str(), zone.as_str()] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let mut id = hex::encode(digest.finalize());
        id.truncate(ID_DIGITS);
        Self(id)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CronTaskId {
    type Err = InvalidCronTaskId;

    fn from_str(text: &str) -> Result<Self, InvalidCronTaskId> {
        let valid = (1..=ID_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidCronTaskId) }
    }
}

impl fmt::Display for CronTaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What becomes of a run that is due while another one of the same task goes on (Dokku, and Kubernetes before it).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CronPolicy {
    /// Both run.
    #[default]
    Allow,
    /// It is left out.
    Forbid,
    /// The one before is ended first.
    Replace,
}

words!(CronPolicy, "concurrency policy", Allow = "allow", Forbid = "forbid", Replace = "replace");

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CronRunState {
    /// It is due, and waits for its turn. Nothing of it is in the engine.
    Waiting,
    /// Its container is being made and started; a crash leaves open how far that came.
    Starting,
    /// Its container was started.
    Running,
    /// Its command ended with status 0.
    Succeeded,
    /// Its command failed, took too long or could not be run.
    Failed,
    /// It was called off.
    Cancelled,
}

words!(
    CronRunState,
    "state of a run",
    Waiting = "waiting",
    Starting = "starting",
    Running = "running",
    Succeeded = "succeeded",
    Failed = "failed",
    Cancelled = "cancelled",
);

impl CronRunState {
    /// Whether it has not ended.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Waiting | Self::Starting | Self::Running)
    }
}

/// Types that are stored and sent as their text.
macro_rules! as_text {
    ($($name:ident),+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

as_text!(CronTaskId, CronPolicy, CronSchedule, Zone);

/// A command that an app asks to be run by a schedule. It belongs to a build, so that a rollback brings back its schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CronTask {
    /// Names it within the app.
    pub id: CronTaskId,
    /// For a shell; a first word that is a process type stands for that type's command.
    pub command: String,
    /// When.
    pub schedule: CronSchedule,
    /// Whose clocks the schedule goes by.
    pub zone: Zone,
    /// What if another one still runs.
    pub policy: CronPolicy,
    /// Whether it is not to be run.
    pub is_paused: bool,
}

impl CronTask {
    /// When it is due after `after`; never while it is paused.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        if self.is_paused { None } else { self.schedule.next(&self.zone, after) }
    }
}

/// One run of a task. Recorded before anything of it is in the engine.
#[derive(Debug, Clone)]
pub struct CronRun {
    /// Names it; its container carries it as a label.
    pub id: InstanceId,
    /// Whose run.
    pub app_id: AppId,
    /// The account that it counts for: whose the app was when it was due.
    pub owner_id: UserId,
    /// Of which task.
    pub task: CronTaskId,
    /// 1 and up within the app: `cron.1`.
    pub number: u32,
    /// When it was due; `None` when somebody asked for it.
    pub scheduled_at: Option<Timestamp>,
    /// Where it stands.
    pub state: CronRunState,
    /// The release that it runs on, once it is chosen.
    pub version: Option<i64>,
    /// How its command ended.
    pub exit_status: Option<i64>,
    /// Why it ended as it did, where the status does not say it; else empty.
    pub detail: String,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When its container was started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl CronRun {
    /// As the log names it: `cron.1`.
    pub fn label(&self) -> String {
        format!("cron.{}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_given_or_stays_with_what_is_run_when() {
        let of = |command, schedule: &str, zone: &str| {
            CronTaskId::of(command, &schedule.parse().unwrap(), &zone.parse().unwrap())
        };
        let id = of("ls", "@daily", "UTC");
        assert_eq!(id.as_str().len(), ID_DIGITS);
        assert_eq!(id, of("ls", "@daily", "utc"));
        for other in [of("ls -l", "@daily", "UTC"), of("ls", "@hourly", "UTC"), of("ls", "@daily", "Europe/Berlin")] {
            assert_ne!(id, other);
        }
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "a b", "a/b", "é", &"x".repeat(64)] {
            assert!(text.parse::<CronTaskId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_task_is_stored_as_json() {
        let task = CronTask {
            id: "backup".parse().unwrap(),
            command: "./backup".to_owned(),
            schedule: "30 4 * * mon".parse().unwrap(),
            zone: "Europe/Berlin".parse().unwrap(),
            policy: CronPolicy::Forbid,
            is_paused: true,
        };
        let text = serde_json::to_string(&task).unwrap();
        assert_eq!(
            text,
            r#"{"id":"backup","command":"./backup","schedule":"30 4 * * mon","zone":"Europe/Berlin","policy":"forbid","is_paused":true}"#
        );
        assert_eq!(serde_json::from_str::<CronTask>(&text).unwrap(), task);
        assert_eq!(task.next(Timestamp::now()), None, "it is paused");
    }
}
