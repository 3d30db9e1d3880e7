//! Operations: the durable record of every change in progress or done.

use std::fmt;
use std::str::FromStr;

use super::build::words;
use super::{AppId, OperationId, ReleaseId, Timestamp};

/// What an operation changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// A `git push`.
    Push,
    /// A build from an image made elsewhere.
    Deploy,
    /// A change of config.
    Config,
    /// A return to an earlier release.
    Rollback,
    /// A change of counts.
    Scale,
    /// Fresh instances of the release that runs already.
    Restart,
    /// The present release on a rebuilt run image.
    Rebase,
    /// The first deployment of a process group that was made by itself.
    Launch,
    /// The start of a process group's stopped instances.
    Start,
    /// The stop of a process group's running instances.
    Stop,
    /// A change of the count of a managed process group.
    Resize,
    /// New instances for all of a managed process group.
    Replace,
    /// Removal of what earlier builds left.
    CleanUp,
    /// The end of the app.
    Destroy,
}

words!(
    OperationKind,
    "operation kind",
    Push = "push",
    Deploy = "deploy",
    Config = "config",
    Rollback = "rollback",
    Scale = "scale",
    Restart = "restart",
    Rebase = "rebase",
    Launch = "launch",
    Start = "start",
    Stop = "stop",
    Resize = "resize",
    Replace = "replace",
    CleanUp = "clean-up",
    Destroy = "destroy",
);

impl OperationKind {
    /// Whether its intent is recorded in a process group and its instances when it begins: it has no point of no return,
    /// and a crash leaves something to be finished, never to be undone.
    pub fn is_of_groups(self) -> bool {
        matches!(self, Self::Launch | Self::Start | Self::Stop | Self::Resize | Self::Replace)
    }
}

/// How an operation stands or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationStatus {
    /// Live: it holds its app's lock.
    Running,
    /// It did what was asked.
    Succeeded,
    /// It could not, and left things as they were.
    Failed,
    /// Somebody called it off.
    Cancelled,
}

words!(
    OperationStatus,
    "operation status",
    Running = "running",
    Succeeded = "succeeded",
    Failed = "failed",
    Cancelled = "cancelled",
);

/// What a running operation is about to do. Each is recorded before it is done.
///
/// The switch is the point of no return: a crash before it is undone, a crash after it is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// It holds the lock; nothing has been done.
    Accepted,
    /// Turning source into an image.
    Build,
    /// Cutting the release.
    Release,
    /// Starting the new instances.
    Start,
    /// The new instances are healthy; publishing them.
    Switch,
    /// Draining and stopping the old instances.
    Drain,
    /// Removing everything that the app has.
    Destroy,
}

words!(
    Step,
    "step",
    Accepted = "accepted",
    Build = "build",
    Release = "release",
    Start = "start",
    Switch = "switch",
    Drain = "drain",
    Destroy = "destroy",
);

/// A step that cannot come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {kind} operation cannot go from step {from} to {to}")]
pub struct IllegalStep {
    /// Kind of the operation.
    pub kind: OperationKind,
    /// The step it is at.
    pub from: Step,
    /// The step that was asked for.
    pub to: Step,
}

impl Step {
    /// The step after this one, if `kind` of operation may go there.
    ///
    /// # Errors
    /// [`IllegalStep`] for every pair that a correct run cannot produce.
    pub fn advance(self, kind: OperationKind, to: Self) -> Result<Self, IllegalStep> {
        use OperationKind as K;
        let builds = matches!(kind, K::Push | K::Deploy | K::Rebase);
        let releases = builds || matches!(kind, K::Config | K::Rollback);
        let legal = match (self, to) {
            (Self::Accepted, Self::Build) | (Self::Build, Self::Release) => builds,
            (Self::Accepted, Self::Release) => releases && !builds,
            (Self::Release, Self::Start) => releases,
            (Self::Accepted, Self::Start) => matches!(kind, K::Scale | K::Restart) || kind.is_of_groups(),
            (Self::Start, Self::Switch) | (Self::Switch, Self::Drain) => {
                !matches!(kind, K::Destroy | K::CleanUp) && !kind.is_of_groups()
            }
            (Self::Accepted, Self::Destroy) => kind == K::Destroy,
            _ => false,
        };
        if legal { Ok(to) } else { Err(IllegalStep { kind, from: self, to }) }
    }
}

/// The durable record of one change. While it runs it is its app's lock.
#[derive(Debug, Clone)]
pub struct Operation {
    /// 24 hex digits.
    pub id: OperationId,
    /// What it changes.
    pub kind: OperationKind,
    /// Whose app.
    pub app_id: AppId,
    /// The app's name, kept for the time after the app is gone.
    pub app_name: String,
    /// Name of the person who asked.
    pub actor: String,
    /// How it stands.
    pub status: OperationStatus,
    /// The last recorded step.
    pub step: Step,
    /// The release that it cut, once it did.
    pub release_id: Option<ReleaseId>,
    /// Why it failed; empty otherwise.
    pub error: String,
    /// When it took the lock.
    pub started_at: Timestamp,
    /// When its owner last showed a sign of life.
    pub heartbeat_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 7] =
        [Step::Accepted, Step::Build, Step::Release, Step::Start, Step::Switch, Step::Drain, Step::Destroy];

    #[test]
    fn each_kind_has_one_way_through() {
        let check = |kind: OperationKind, way: &[Step]| {
            for (index, from) in STEPS.iter().enumerate() {
                for to in &STEPS {
                    let expect = way.windows(2).any(|pair| pair == [*from, *to]);
                    assert_eq!(from.advance(kind, *to).is_ok(), expect, "{kind}: {from} -> {to} ({index})");
                }
            }
        };
        use Step::*;
        check(OperationKind::Push, &[Accepted, Build, Release, Start, Switch, Drain]);
        check(OperationKind::Deploy, &[Accepted, Build, Release, Start, Switch, Drain]);
        check(OperationKind::Config, &[Accepted, Release, Start, Switch, Drain]);
        check(OperationKind::Rollback, &[Accepted, Release, Start, Switch, Drain]);
        check(OperationKind::Scale, &[Accepted, Start, Switch, Drain]);
        check(OperationKind::Restart, &[Accepted, Start, Switch, Drain]);
        check(OperationKind::Rebase, &[Accepted, Build, Release, Start, Switch, Drain]);
        for kind in [
            OperationKind::Launch,
            OperationKind::Start,
            OperationKind::Stop,
            OperationKind::Resize,
            OperationKind::Replace,
        ] {
            check(kind, &[Accepted, Start]);
        }
        check(OperationKind::CleanUp, &[Accepted]);
        check(OperationKind::Destroy, &[Accepted, Destroy]);
    }

    #[test]
    fn words_round_trip() {
        for step in STEPS {
            assert_eq!(step.as_str().parse(), Ok(step));
        }
        assert!("nonsense".parse::<Step>().is_err());
    }
}
