//! Pushes in progress: what ties the hook that git starts to the connection that started git.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::backend::PushLease;
use crate::git;
use crate::model::{AppName, Username};

/// One run of `git receive-pack`.
pub(super) struct Session {
    pub(super) user: Username,
    pub(super) app: AppName,
    pub(super) repository: PathBuf,
    /// Fires when the pusher has gone, git has died or the server stops.
    pub(super) cancel: CancellationToken,
    phase: watch::Sender<Phase>,
    released: Mutex<Option<Released>>,
}

/// Where the hook of a push stands. A push has at most one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Git still takes the objects.
    Before,
    /// The platform is at work.
    During,
    /// The platform has decided.
    After,
}

/// A deploy that succeeded and waits for its reference to move.
pub(super) struct Released {
    pub(super) lease: Box<dyn PushLease>,
    pub(super) reference: String,
    pub(super) commit: String,
}

/// All pushes in progress, by their tokens.
#[derive(Clone, Default)]
pub(super) struct Sessions(Arc<Mutex<HashMap<String, Arc<Session>>>>);

/// Keeps a session known to hooks; dropping it ends that.
pub(super) struct OpenSession {
    pub(super) session: Arc<Session>,
    pub(super) token: String,
    sessions: Sessions,
}

/// The right to serve the hook of a session, given once. Dropping it says that the platform has decided.
pub(super) struct Claim(pub(super) Arc<Session>);

impl Sessions {
    /// Announces a push under a fresh token.
    pub(super) fn open(
        &self,
        user: Username,
        app: AppName,
        repository: PathBuf,
        cancel: CancellationToken,
    ) -> OpenSession {
        let token = hex::encode(rand::rng().random::<[u8; 16]>());
        let (phase, _) = watch::channel(Phase::Before);
        let session = Arc::new(Session { user, app, repository, cancel, phase, released: Mutex::default() });
        self.lock().insert(token.clone(), session.clone());
        OpenSession { session, token, sessions: self.clone() }
    }

    /// The session of a token, unless its hook was served before.
    pub(super) fn claim(&self, token: &str) -> Option<Claim> {
        let sessions = self.lock();
        let session = sessions.get(token)?;
        // Under the map's lock, so that `OpenSession::end` sees either no claim ever or this one.
        let is_first = session.phase.send_if_modified(|phase| {
            let is_first = *phase == Phase::Before;
            if is_first {
                *phase = Phase::During;
            }
            is_first
        });
        is_first.then(|| Claim(session.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.phase.send_replace(Phase::After);
    }
}

impl Session {
    /// Remembers a lease until git has moved the reference.
    pub(super) fn release(&self, released: Released) {
        *self.released.lock().unwrap_or_else(PoisonError::into_inner) = Some(released);
    }

    /// Whether git has taken the objects and come as far as its hook.
    pub(super) fn has_called(&self) -> bool {
        *self.phase.borrow() != Phase::Before
    }

    /// Waits until the platform has not been at work for `grace`. Cancel-safe.
    pub(super) async fn quiet(&self, grace: Duration) {
        let mut phase = self.phase.subscribe();
        loop {
            // The sender lives as long as `self`, so no wait fails.
            let _ = phase.wait_for(|phase| *phase != Phase::During).await;
            let again = phase.wait_for(|phase| *phase == Phase::During);
            if tokio::time::timeout(grace, again).await.is_err() {
                return;
            }
        }
    }

    /// Waits until the platform is not at work. Cancel-safe.
    async fn idle(&self) {
        let _ = self.phase.subscribe().wait_for(|phase| *phase != Phase::During).await;
    }
}

impl OpenSession {
    /// Ends the session once git is gone: waits for the platform if git died under it, then tells a successful deploy
    /// whether its reference moved.
    ///
    /// That is read from the repository and not from git's exit status, which also tells of trouble after the move.
    pub(super) async fn end(self) {
        self.sessions.lock().remove(&self.token);
        let session = self.session.clone();
        // A hook that is still served has lost its git; the reference will not move.
        session.cancel.cancel();
        session.idle().await;
        let released = session.released.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Released { lease, reference, commit }) = released {
            lease.finish(session.is_at(reference, commit).await).await;
        }
    }
}

impl Session {
    async fn is_at(&self, reference: String, commit: String) -> bool {
        let repository = self.repository.clone();
        let read = tokio::task::spawn_blocking(move || git::read_ref(&repository, &reference));
        match read.await {
            Ok(Ok(oid)) => oid == Some(commit),
            Ok(Err(error)) => {
                tracing::error!(app.name = %self.app, %error, "cannot tell whether the pushed reference moved");
                false
            }
            Err(error) => {
                tracing::error!(app.name = %self.app, %error, "cannot tell whether the pushed reference moved");
                false
            }
        }
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.token);
        self.session.cancel.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(sessions: &Sessions) -> OpenSession {
        let cancel = CancellationToken::new();
        sessions.open("bob".parse().unwrap(), "app".parse().unwrap(), PathBuf::new(), cancel)
    }

    #[test]
    fn a_token_is_good_once_and_only_while_git_runs() {
        let sessions = Sessions::default();
        let (first, second) = (open(&sessions), open(&sessions));
        assert_ne!(first.token, second.token);
        assert!(sessions.claim("other").is_none());
        let claim = sessions.claim(&first.token).unwrap();
        assert!(sessions.claim(&first.token).is_none());
        drop(claim);
        assert!(sessions.claim(&first.token).is_none());
        let token = second.token.clone();
        drop(second);
        assert!(sessions.claim(&token).is_none());
        assert_eq!(sessions.lock().len(), 1);
    }

    #[tokio::test]
    async fn quiet_waits_for_the_platform_however_short_the_grace() {
        let sessions = Sessions::default();
        let open = open(&sessions);
        let claim = sessions.claim(&open.token).unwrap();
        let mut quiet = std::pin::pin!(open.session.quiet(Duration::from_millis(1)));
        assert!(tokio::time::timeout(Duration::from_millis(100), &mut quiet).await.is_err());
        drop(claim);
        tokio::time::timeout(Duration::from_secs(10), quiet).await.unwrap();
    }
}
