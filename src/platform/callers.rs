//! Whom tokens belong to, remembered for a moment: every request asks.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::User;

/// How long an answer is good for. Changes made by this process are seen at once; this bounds those made elsewhere.
const FRESH: Duration = Duration::from_secs(5);
/// Most tokens that are remembered.
const REMEMBERED: usize = 1_000;

/// What is remembered, by digest of the token.
#[derive(Debug, Default)]
pub struct Callers(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Counts the changes of accounts.
    changes: u64,
    users: HashMap<String, (User, Instant)>,
}

/// Proof of when somebody began to look up whose a token is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen(u64);

impl Callers {
    /// The user of that token if it was looked up lately, and what [`Callers::remember`] wants otherwise.
    pub(super) fn get(&self, digest: &str) -> (Option<User>, Seen) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = known.users.get(digest).filter(|(_, since)| since.elapsed() < FRESH);
        (fresh.map(|(user, _)| user.clone()), Seen(known.changes))
    }

    /// Remembers a user, unless an account changed since the look-up began: it may be this one.
    pub(super) fn remember(&self, seen: Seen, digest: String, user: User) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.changes != seen.0 {
            return;
        }
        if known.users.len() >= REMEMBERED {
            known.users.clear();
        }
        known.users.insert(digest, (user, Instant::now()));
    }

    /// Accounts or their tokens have changed. To be called after the change is committed and before it is answered.
    pub(super) fn forget_all(&self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.changes += 1;
        known.users.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Timestamp, UserId};

    fn user(name: &str) -> User {
        User {
            id: UserId::new(),
            number: 1,
            username: name.parse().unwrap(),
            email: String::new(),
            first_name: String::new(),
            last_name: String::new(),
            is_superuser: false,
            is_active: true,
            epoch: 0,
            created_at: Timestamp::now(),
            last_login_at: Timestamp::now(),
        }
    }

    #[test]
    fn a_change_ends_what_is_remembered_and_what_is_being_looked_up() {
        let callers = Callers::default();
        let (none, seen) = callers.get("a");
        assert!(none.is_none());
        callers.remember(seen, "a".to_owned(), user("bob"));
        assert_eq!(callers.get("a").0.unwrap().username.as_str(), "bob");
        let (_, seen) = callers.get("b");
        callers.forget_all();
        assert!(callers.get("a").0.is_none());
        callers.remember(seen, "b".to_owned(), user("eve"));
        assert!(callers.get("b").0.is_none(), "it was looked up before the change");
    }

    #[test]
    fn only_so_many_are_remembered() {
        let callers = Callers::default();
        for n in 0..=REMEMBERED {
            callers.remember(callers.get("").1, n.to_string(), user("bob"));
        }
        assert_eq!(callers.0.lock().unwrap().users.len(), 1);
    }
}
