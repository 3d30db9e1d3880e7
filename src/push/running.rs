//! How many git processes each user runs, over all connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::{Quota, QuotaExceeded, QuotaKind, Username};

/// Counts of all users who run any.
#[derive(Debug, Clone, Default)]
pub(super) struct RunningGit(Arc<Mutex<HashMap<Username, u64>>>);

/// One git process of a user, until it is dropped.
#[derive(Debug)]
pub(super) struct GitPlace {
    running: RunningGit,
    user: Username,
}

impl RunningGit {
    /// Takes a place.
    ///
    /// # Errors
    /// When the user has as many as they may have.
    pub(super) fn enter(&self, user: &Username, quota: Quota) -> Result<GitPlace, QuotaExceeded> {
        let mut counts = self.lock();
        let used = counts.get(user).copied().unwrap_or_default();
        QuotaExceeded::check(user.as_str(), QuotaKind::Git, quota, used, 1)?;
        counts.insert(user.clone(), used + 1);
        Ok(GitPlace { running: self.clone(), user: user.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Username, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for GitPlace {
    fn drop(&mut self) {
        let mut counts = self.running.lock();
        match counts.get_mut(&self.user) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                counts.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_each_users_own_and_come_back() {
        let (running, quota) = (RunningGit::default(), Quota::AtMost(2));
        let (alice, bob): (Username, Username) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        let first = running.enter(&bob, quota).unwrap();
        let _second = running.enter(&bob, quota).unwrap();
        assert_eq!(running.enter(&bob, quota).unwrap_err().used, 2);
        running.enter(&alice, quota).unwrap();
        drop(first);
        running.enter(&bob, quota).unwrap();
        assert_eq!(running.lock().len(), 1, "nothing is left of who runs none");
    }
}
