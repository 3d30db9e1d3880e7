//! The state of a group, derived from what is under way and from its instances, and what may be done in it (spec §6).

use std::fmt;
use std::str::FromStr;

use super::super::OperationKind;
use super::GroupInstanceState;

/// Where a group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupState {
    /// Recorded, nothing deployed.
    Init,
    /// Deploying for the first time, or starting what was stopped.
    Starting,
    /// All instances run.
    Running,
    /// Some run, some do not.
    PartlyRunning,
    /// Instances are being added or removed.
    Scaling,
    /// All instances are being replaced.
    Redeploying,
    /// Stopping.
    Stopping,
    /// There are instances and none runs.
    Stopped,
    /// Being destroyed.
    Terminating,
    /// Gone.
    Terminated,
    /// There are no instances.
    NotRunning,
}

super::super::build::words!(
    GroupState,
    "group state",
    Init = "init",
    Starting = "starting",
    Running = "running",
    PartlyRunning = "partly running",
    Scaling = "scaling",
    Redeploying = "redeploying",
    Stopping = "stopping",
    Stopped = "stopped",
    Terminating = "terminating",
    Terminated = "terminated",
    NotRunning = "not running",
);

impl GroupState {
    /// All states.
    pub const ALL: [Self; 11] = [
        Self::Init,
        Self::Starting,
        Self::Running,
        Self::PartlyRunning,
        Self::Scaling,
        Self::Redeploying,
        Self::Stopping,
        Self::Stopped,
        Self::Terminating,
        Self::Terminated,
        Self::NotRunning,
    ];
}

/// What a request may do with a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupAction {
    /// Start what is stopped.
    Start,
    /// Stop what runs.
    Stop,
    /// Replace all instances.
    Redeploy,
    /// Change the count.
    Scale,
    /// Change policies and the like.
    Change,
    /// Destroy it.
    Terminate,
}

/// What a request may do with one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceAction {
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Replace it.
    Redeploy,
    /// Destroy it.
    Terminate,
}

/// What is under way for the whole of a group's app, because somebody asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupWork {
    /// Nothing.
    None,
    /// An operation of this kind.
    Under(OperationKind),
}

/// How many instances there are of each sort that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupCounts {
    /// In any state but terminating and terminated.
    pub current: u32,
    /// Running.
    pub running: u32,
    /// Stopped.
    pub stopped: u32,
    /// Starting on request.
    pub starting: u32,
    /// Starting by a policy.
    pub restarting: u32,
}

impl GroupCounts {
    /// Counts instances by state and whether they start by themselves.
    pub fn of(instances: impl IntoIterator<Item = (GroupInstanceState, bool)>) -> Self {
        let mut counts = Self::default();
        for (state, is_automatic) in instances {
            counts.current += u32::from(state.is_live());
            match state {
                GroupInstanceState::Running => counts.running += 1,
                GroupInstanceState::Stopped => counts.stopped += 1,
                GroupInstanceState::Starting if is_automatic => counts.restarting += 1,
                GroupInstanceState::Starting => counts.starting += 1,
                _ => {}
            }
        }
        counts
    }
}

impl GroupState {
    /// The state of a group that is not terminated: an operation under way gives its own, else the live instances decide
    /// (spec §6). Clean-up changes nothing that a group shows.
    pub fn derive(work: GroupWork, counts: GroupCounts) -> Self {
        use OperationKind as K;
        match work {
            GroupWork::Under(K::Launch | K::Start) => Self::Starting,
            GroupWork::Under(K::Stop) => Self::Stopping,
            GroupWork::Under(K::Scale | K::Resize) => Self::Scaling,
            GroupWork::Under(K::Push | K::Deploy | K::Config | K::Rollback | K::Restart | K::Rebase | K::Replace) => {
                Self::Redeploying
            }
            GroupWork::Under(K::Destroy) => Self::Terminating,
            GroupWork::None | GroupWork::Under(K::CleanUp) => Self::of_counts(counts),
        }
    }

    fn of_counts(counts: GroupCounts) -> Self {
        match counts {
            GroupCounts { current: 0, .. } => Self::NotRunning,
            GroupCounts { starting, restarting, .. } if starting + restarting > 0 => Self::Starting,
            GroupCounts { current, running, .. } if current == running => Self::Running,
            GroupCounts { running: 0, .. } => Self::Stopped,
            _ => Self::PartlyRunning,
        }
    }

    /// Whether an action may begin in this state, with these instances. *Starting* that stems from policies alone permits
    /// to stop and to terminate.
    pub fn allows(self, action: GroupAction, work: GroupWork, counts: GroupCounts) -> bool {
        use GroupAction as A;
        match self {
            Self::Init => matches!(action, A::Start | A::Terminate | A::Change),
            Self::Running => matches!(action, A::Stop | A::Redeploy | A::Scale | A::Terminate | A::Change),
            Self::PartlyRunning => true,
            Self::Stopped => matches!(action, A::Start | A::Redeploy | A::Terminate | A::Change),
            Self::NotRunning => matches!(action, A::Redeploy | A::Scale | A::Terminate | A::Change),
            Self::Starting => {
                let is_automatic = work == GroupWork::None && counts.starting == 0;
                action == A::Change || is_automatic && matches!(action, A::Stop | A::Terminate)
            }
            Self::Scaling | Self::Redeploying | Self::Stopping => action == A::Change,
            Self::Terminating | Self::Terminated => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::GroupInstanceState as One;

    fn counts(of: &[One]) -> GroupCounts {
        GroupCounts::of(of.iter().map(|state| (*state, false)))
    }

    #[test]
    fn instances_decide_when_nothing_is_under_way() {
        use One::{Running, Starting, Stopped, Stopping, Terminated, Terminating};
        let check = |of: &[One], expect: GroupState| {
            assert_eq!(GroupState::derive(GroupWork::None, counts(of)), expect, "{of:?}");
        };
        check(&[], GroupState::NotRunning);
        check(&[Terminated, Terminating], GroupState::NotRunning);
        check(&[Running, Running], GroupState::Running);
        check(&[Running, Terminated], GroupState::Running);
        check(&[Running, Starting], GroupState::Starting);
        check(&[Stopped, Starting], GroupState::Starting);
        check(&[Running, Stopped], GroupState::PartlyRunning);
        check(&[Running, Stopping], GroupState::PartlyRunning);
        check(&[Stopped, Stopped], GroupState::Stopped);
        check(&[Stopped, Stopping], GroupState::Stopped);
        check(&[One::Init], GroupState::Stopped);
    }

    #[test]
    fn an_operation_under_way_gives_its_own_state() {
        use OperationKind as K;
        let check = |kind: K, expect: GroupState| {
            assert_eq!(GroupState::derive(GroupWork::Under(kind), counts(&[One::Running])), expect, "{kind}");
        };
        check(K::Launch, GroupState::Starting);
        check(K::Start, GroupState::Starting);
        check(K::Stop, GroupState::Stopping);
        for kind in [K::Scale, K::Resize] {
            check(kind, GroupState::Scaling);
        }
        for kind in [K::Push, K::Deploy, K::Config, K::Rollback, K::Restart, K::Rebase, K::Replace] {
            check(kind, GroupState::Redeploying);
        }
        check(K::Destroy, GroupState::Terminating);
        check(K::CleanUp, GroupState::Running);
    }

    #[test]
    fn each_state_allows_its_actions_and_no_others() {
        use GroupAction::{Change, Redeploy, Scale, Start, Stop, Terminate};
        let all = [Start, Stop, Redeploy, Scale, Terminate, Change];
        let allowed: [(GroupState, &[GroupAction]); 11] = [
            (GroupState::Init, &[Start, Terminate, Change]),
            (GroupState::Starting, &[Change]),
            (GroupState::Running, &[Stop, Redeploy, Scale, Terminate, Change]),
            (GroupState::PartlyRunning, &all),
            (GroupState::Scaling, &[Change]),
            (GroupState::Redeploying, &[Change]),
            (GroupState::Stopping, &[Change]),
            (GroupState::Stopped, &[Start, Redeploy, Terminate, Change]),
            (GroupState::Terminating, &[]),
            (GroupState::Terminated, &[]),
            (GroupState::NotRunning, &[Redeploy, Scale, Terminate, Change]),
        ];
        for (state, expect) in allowed {
            for action in all {
                let is_allowed = state.allows(action, GroupWork::None, counts(&[One::Starting]));
                assert_eq!(is_allowed, expect.contains(&action), "{state} {action:?}");
            }
        }
    }

    #[test]
    fn a_crash_loop_can_be_stopped_and_terminated() {
        let restarting = GroupCounts::of([(One::Starting, true), (One::Running, false)]);
        let state = GroupState::derive(GroupWork::None, restarting);
        assert_eq!(state, GroupState::Starting);
        let allows = |action| state.allows(action, GroupWork::None, restarting);
        assert!(allows(GroupAction::Stop) && allows(GroupAction::Terminate) && !allows(GroupAction::Start));
        let asked = GroupCounts::of([(One::Starting, true), (One::Starting, false)]);
        assert!(!state.allows(GroupAction::Stop, GroupWork::None, asked));
        assert!(One::Starting.allows(InstanceAction::Stop, true) && !One::Starting.allows(InstanceAction::Stop, false));
    }
}
