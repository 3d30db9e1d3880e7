//! Access that lasts longer than a request: asked again and again for as long as what was begun with it goes on.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{AppHandle, Error, Platform};
use crate::model::{AppId, User};
use crate::store::{apps, collaborators, users};

/// Between two looks. What was begun with access that is gone ends within five seconds.
const LOOK: Duration = Duration::from_secs(2);
/// Said to whoever loses access in the middle of something.
const GONE: &str = "access to this app was taken away meanwhile";

/// Somebody's access to an app, as it was when something was begun with it.
///
/// It is gone once the person may not use the app any more, is switched off or gone, or has had to sign in again: the epoch of the
/// account moves with each change of password or token, whichever process makes it.
#[derive(Clone)]
pub(super) struct Grant {
    platform: Platform,
    user: User,
    app: AppId,
}

impl Grant {
    /// Whether the access is there still.
    ///
    /// # Errors
    /// When the database fails; that says nothing of the access.
    pub async fn holds(&self) -> Result<bool, Error> {
        let pool = self.platform.0.store.pool();
        let user = users::by_id(pool, self.user.id).await?;
        let Some(user) = user.filter(|user| user.is_active && user.epoch == self.user.epoch) else { return Ok(false) };
        let Some(app) = apps::by_id(pool, self.app).await? else { return Ok(false) };
        Ok(user.is_superuser || app.owner_id == user.id || collaborators::contains(pool, app.id, user.id).await?)
    }

    /// # Errors
    /// [`Error::Denied`] when the access is gone.
    pub async fn check(&self) -> Result<(), Error> {
        if self.holds().await? { Ok(()) } else { Err(Error::Denied(GONE.to_owned())) }
    }

    /// Waits until the access is gone. Cancel-safe.
    pub async fn revoked(self) {
        loop {
            tokio::time::sleep(LOOK).await;
            // A database that is away takes nothing away.
            if matches!(self.holds().await, Ok(false)) {
                return;
            }
        }
    }
}

impl Platform {
    pub(super) fn grant(&self, handle: &AppHandle) -> Grant {
        Grant { platform: self.clone(), user: handle.user().clone(), app: handle.app().id }
    }

    /// Does work that `cancel` calls off, and calls it off when the access that it was begun with is gone.
    pub(super) async fn while_granted<T>(
        &self,
        handle: &AppHandle,
        cancel: &CancellationToken,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = self.grant(handle).revoked() => cancel.cancel(),
        }
        work.await.map_err(|error| match error {
            Error::Cancelled => Error::Denied(GONE.to_owned()),
            error => error,
        })
    }
}
