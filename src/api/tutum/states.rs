//! States as this API words them (spec §6, §8.1).

use crate::model::{GroupInstanceState, GroupState};

/// What an application's state is called.
pub(super) fn of_application(state: GroupState) -> &'static str {
    match state {
        GroupState::Init => "Init",
        GroupState::Starting => "Starting",
        GroupState::Running => "Running",
        GroupState::PartlyRunning => "Partly running",
        GroupState::Scaling => "Scaling",
        GroupState::Redeploying => "Redeploying",
        GroupState::Stopping => "Stopping",
        GroupState::Stopped => "Stopped",
        GroupState::Terminating => "Terminating",
        GroupState::Terminated => "Terminated",
        GroupState::NotRunning => "Not running",
    }
}

/// What a container's state is called.
pub(super) fn of_container(state: GroupInstanceState) -> &'static str {
    match state {
        GroupInstanceState::Init => "Init",
        GroupInstanceState::Starting => "Starting",
        GroupInstanceState::Running => "Running",
        GroupInstanceState::Stopping => "Stopping",
        GroupInstanceState::Stopped => "Stopped",
        GroupInstanceState::Terminating => "Terminating",
        GroupInstanceState::Terminated => "Terminated",
    }
}

/// The states of applications that a filter asks for: none for a word that nobody is in.
pub(super) fn applications_in(word: &str) -> Vec<GroupState> {
    GroupState::ALL.into_iter().filter(|state| of_application(*state) == word).collect()
}

/// The states of containers that a filter asks for.
pub(super) fn containers_in(word: &str) -> Vec<GroupInstanceState> {
    use GroupInstanceState as S;
    let all = [S::Init, S::Starting, S::Running, S::Stopping, S::Stopped, S::Terminating, S::Terminated];
    all.into_iter().filter(|state| of_container(*state) == word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_exact() {
        assert_eq!(applications_in("Partly running"), [GroupState::PartlyRunning]);
        assert_eq!(containers_in("Stopped"), [GroupInstanceState::Stopped]);
        for nobody in ["", "running", "Start failed", "Stopped with errors"] {
            assert!(applications_in(nobody).is_empty() && containers_in(nobody).is_empty(), "{nobody}");
        }
        for state in GroupState::ALL {
            assert_eq!(applications_in(of_application(state)), [state]);
        }
    }
}
