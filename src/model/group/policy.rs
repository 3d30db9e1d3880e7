//! Policies: what becomes of a container that should run and ended by itself (spec §12).

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::super::build::words;

/// When a remedy is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Never.
    #[default]
    Off,
    /// When the exit code is not 0.
    OnFailure,
    /// Whatever the exit code.
    Always,
}

words!(Policy, "policy", Off = "off", OnFailure = "on-failure", Always = "always");

impl Policy {
    /// Whether it applies to a container that ended with this exit code.
    pub fn applies(self, exit_code: i64) -> bool {
        match self {
            Self::Off => false,
            Self::OnFailure => exit_code != 0,
            Self::Always => true,
        }
    }
}

/// The three policies of a group, in the order in which they are considered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policies {
    /// Start the same container again.
    pub restart: Policy,
    /// Terminate it and deploy another one.
    pub replace: Policy,
    /// Terminate it.
    pub destroy: Policy,
}

/// How a container that should run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, or killed behind Slipway's back, with this exit code.
    Alone(i64),
    /// Together with the engine or the host, or while Slipway was away.
    WithTheEngine,
}

/// What is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Start the same container again.
    Restart,
    /// Terminate it, deploy another one.
    Replace,
    /// Terminate it.
    Destroy,
    /// Leave it stopped.
    None,
}

impl Policies {
    /// What is done about an ending, given whether tries are left (spec §12).
    ///
    /// After an end of the engine containers with restart policy *always* start again and the others stay stopped.
    pub fn remedy(&self, ending: Ending, may_restart: bool, may_replace: bool) -> Remedy {
        match ending {
            Ending::WithTheEngine if self.restart == Policy::Always => Remedy::Restart,
            Ending::WithTheEngine => Remedy::None,
            Ending::Alone(code) if self.restart.applies(code) && may_restart => Remedy::Restart,
            Ending::Alone(code) if self.replace.applies(code) && may_replace => Remedy::Replace,
            // Tries that are used up end in "stopped"; destruction is for those who asked for neither.
            Ending::Alone(code) if self.restart.applies(code) || self.replace.applies(code) => Remedy::None,
            Ending::Alone(code) if self.destroy.applies(code) => Remedy::Destroy,
            Ending::Alone(_) => Remedy::None,
        }
    }
}

/// Tries within a sliding time.
#[derive(Debug, Clone, Default)]
pub struct Budget {
    tries: VecDeque<std::time::Instant>,
}

impl Budget {
    /// Whether a try is left: fewer than `most` within the last `span`.
    pub fn has_left(&mut self, now: std::time::Instant, most: usize, span: Duration) -> bool {
        while self.tries.front().is_some_and(|first| now.duration_since(*first) >= span) {
            self.tries.pop_front();
        }
        self.tries.len() < most
    }

    /// Uses one.
    pub fn spend(&mut self, now: std::time::Instant) {
        self.tries.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn restart_comes_before_replace_and_that_before_destroy() {
        use Policy::{Always, Off, OnFailure};
        let check = |(restart, replace, destroy), code, (may_restart, may_replace), expect| {
            let policies = Policies { restart, replace, destroy };
            assert_eq!(policies.remedy(Ending::Alone(code), may_restart, may_replace), expect, "{policies:?} {code}");
        };
        check((Off, Off, Off), 1, (true, true), Remedy::None);
        check((OnFailure, Off, Off), 0, (true, true), Remedy::None);
        check((OnFailure, Off, Off), 3, (true, true), Remedy::Restart);
        check((Always, Always, Always), 0, (true, true), Remedy::Restart);
        check((Always, OnFailure, Always), 1, (false, true), Remedy::Replace);
        check((Always, OnFailure, Always), 1, (false, false), Remedy::None);
        check((Always, Off, Off), 0, (false, true), Remedy::None);
        check((Off, OnFailure, Off), 1, (true, true), Remedy::Replace);
        check((Off, Off, OnFailure), 1, (true, true), Remedy::Destroy);
        check((Off, Off, OnFailure), 0, (true, true), Remedy::None);
        check((OnFailure, Off, Always), 0, (true, true), Remedy::Destroy);
    }

    #[test]
    fn after_an_end_of_the_engine_only_always_starts_again() {
        use Policy::{Always, Off, OnFailure};
        for (restart, expect) in [(Off, Remedy::None), (OnFailure, Remedy::None), (Always, Remedy::Restart)] {
            let policies = Policies { restart, replace: Always, destroy: Always };
            assert_eq!(policies.remedy(Ending::WithTheEngine, false, true), expect);
        }
    }

    #[test]
    fn tries_come_back_when_their_time_is_over() {
        let (mut budget, start, span) = (Budget::default(), Instant::now(), Duration::from_secs(60));
        for seconds in [0, 10, 20] {
            let now = start + Duration::from_secs(seconds);
            assert!(budget.has_left(now, 3, span));
            budget.spend(now);
        }
        assert!(!budget.has_left(start + Duration::from_secs(59), 3, span));
        assert!(budget.has_left(start + Duration::from_secs(60), 3, span));
        budget.spend(start + Duration::from_secs(60));
        assert!(!budget.has_left(start + Duration::from_secs(69), 3, span));
    }
}
