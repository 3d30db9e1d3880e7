//! Whose new names are asked for. The authority counts all of them as ours, so that one person's must not use up what there is
//! for everybody.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use super::{after, schedule};
use crate::model::{Timestamp, UserId};

/// New names that are asked for in a day for one owner, tries of one name counted each.
const NEW_A_DAY: usize = 50;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// So many failures in a row are an ordinary mistake; from then on the owner's new names rest.
const FREE_FAILURES: u32 = 5;

/// What was asked for each owner in this life of the server. Renewals do not count.
#[derive(Debug, Default)]
pub(super) struct Owners(Mutex<HashMap<UserId, Asked>>);

#[derive(Debug, Default)]
struct Asked {
    /// When, within the last day; the oldest first.
    tries: VecDeque<Timestamp>,
    /// In a row.
    failures: u32,
    rests_until: Option<Timestamp>,
}

impl Owners {
    /// Whether a new name of this owner may be asked for now, which then counts as asked.
    pub fn take_turn(&self, owner: UserId, now: Timestamp) -> bool {
        let mut owners = self.0.lock().expect("nothing panics while it is held");
        let asked = owners.entry(owner).or_default();
        while asked.tries.front().is_some_and(|at| after(*at, DAY) <= now) {
            asked.tries.pop_front();
        }
        let may_ask = asked.tries.len() < NEW_A_DAY && asked.rests_until.is_none_or(|until| until <= now);
        if may_ask {
            asked.tries.push_back(now);
        }
        may_ask
    }

    /// One has come.
    pub fn succeeded(&self, owner: UserId) {
        let mut owners = self.0.lock().expect("nothing panics while it is held");
        let asked = owners.entry(owner).or_default();
        (asked.failures, asked.rests_until) = (0, None);
    }

    /// One has not; `is_enough` when the authority has said that it was asked too often.
    pub fn failed(&self, owner: UserId, is_enough: bool, now: Timestamp) {
        let mut owners = self.0.lock().expect("nothing panics while it is held");
        let asked = owners.entry(owner).or_default();
        asked.failures += 1;
        let beyond = (asked.failures + 1).saturating_sub(FREE_FAILURES).max(u32::from(is_enough));
        if beyond > 0 {
            asked.rests_until = Some(after(now, schedule::after_failure(beyond, None)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_millis(minutes * 60_000)
    }

    #[test]
    fn new_names_of_a_day_are_bounded_for_each_owner() {
        let (owners, alice, bob) = (Owners::default(), UserId::new(), UserId::new());
        let asked = (0..1000).filter(|minute| owners.take_turn(bob, at(*minute))).count();
        assert_eq!(asked, NEW_A_DAY);
        assert!(owners.take_turn(alice, at(1000)));
        assert!(!owners.take_turn(bob, at(24 * 60 - 1)));
        assert!(owners.take_turn(bob, at(24 * 60)), "the first of them is a day old");
    }

    #[test]
    fn whose_names_keep_failing_rests_and_nobody_else() {
        let (owners, alice, bob) = (Owners::default(), UserId::new(), UserId::new());
        for _ in 0..FREE_FAILURES - 1 {
            owners.failed(bob, false, at(0));
            assert!(owners.take_turn(bob, at(0)));
        }
        owners.failed(bob, false, at(0));
        assert!(!owners.take_turn(bob, at(14)) && owners.take_turn(alice, at(0)));
        assert!(owners.take_turn(bob, at(17)));
        owners.succeeded(bob);
        owners.failed(bob, true, at(20));
        assert!(!owners.take_turn(bob, at(21)));
    }
}
