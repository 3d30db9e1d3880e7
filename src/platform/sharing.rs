//! Sharing: who may work with an app, and who with all of them.

use super::users::known;
use super::{Administrator, AppHandle, AppView, Error, Listing, OwnerHandle, Page, Platform};
use crate::model::{App, LogDrainId, QuotaKind, User, Username};
use crate::store::users::{self, Which};
use crate::store::{StoreError, apps, collaborators, group_instances, log_drains};

impl Platform {
    /// Names of an app's collaborators, in the order in which they were let in.
    pub async fn collaborators(&self, handle: &AppHandle) -> Result<Vec<Username>, Error> {
        Ok(collaborators::names(self.0.store.pool(), handle.app().id).await?)
    }

    /// Lets somebody work with an app: everything but delete, share and give away, `git push` included. Letting somebody
    /// in twice changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such user.
    pub async fn share(&self, handle: &OwnerHandle, with: &str) -> Result<(), Error> {
        let user = known(&self.0.store, with).await?;
        let app = handle.app();
        let mut tx = self.0.store.begin().await?;
        // Who is let in twice takes no other place.
        if !collaborators::contains(&mut *tx, app.id, user.id).await? {
            self.ask_for(&mut tx, app.owner_id, QuotaKind::Collaborators, 1).await?;
        }
        if collaborators::insert(&mut *tx, app.id, user.id).await? {
            tx.commit().await.map_err(StoreError::from)?;
            self.tell_router(None).await;
            self.0.logs.note(app.id, "api", &format!("User {} was granted access to {}", user.username, app.name));
        }
        Ok(())
    }

    /// Ends what [`Platform::share`] began.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such user, [`Error::Forbidden`] when the user is no collaborator (Deis 1.2,
    /// spec §14).
    pub async fn unshare(&self, handle: &OwnerHandle, with: &str) -> Result<(), Error> {
        let user = known(&self.0.store, with).await?;
        let app = handle.app();
        let _changing = self.0.drains.changing().await;
        let mut tx = self.0.store.begin().await?;
        if !collaborators::delete(&mut *tx, app.id, user.id).await? {
            return Err(Error::Forbidden);
        }
        apps::advance_epoch(&mut *tx, app.id).await?;
        let drains = log_drains::delete_of(&mut *tx, app.id, user.id).await?;
        tx.commit().await.map_err(StoreError::from)?;
        self.tell_router(None).await;
        self.0.logs.note(app.id, "api", &format!("User {} was revoked access to {}", user.username, app.name));
        self.end_drains_of(app, &user.username, drains);
        Ok(())
    }

    /// Makes somebody else the owner. The owner before keeps the right of a collaborator if the app is shared with them, else none; what
    /// the app's containers were granted at the API ends.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such user.
    pub async fn transfer_app(&self, handle: &OwnerHandle, to: &str) -> Result<AppView, Error> {
        let (new, app) = (known(&self.0.store, to).await?, handle.app());
        let _changing = self.0.drains.changing().await;
        let mut tx = self.0.store.begin().await?;
        if new.id != app.owner_id {
            self.ask_to_take_over(&mut tx, app, new.id).await?;
        }
        apps::set_owner(&mut *tx, app.id, new.id).await?;
        apps::advance_epoch(&mut *tx, app.id).await?;
        group_instances::void_credentials(&mut tx, app.id).await?;
        let drains = log_drains::delete_of(&mut *tx, app.id, app.owner_id).await?;
        tx.commit().await.map_err(StoreError::from)?;
        self.tell_router(None).await;
        self.end_drains_of(app, &app.owner, drains);
        // Runs of its scheduled commands that count for the owner before are called off.
        self.0.cron.wake();
        let text =
            format!("{} transferred {} from {} to {}", handle.user().username, app.name, app.owner, new.username);
        self.0.logs.note(app.id, "api", &text);
        self.app_view(&self.app(&new, app.name.as_str()).await?).await
    }

    /// Ends drains whose rows went with somebody's access.
    fn end_drains_of(&self, app: &App, who: &Username, drains: Vec<LogDrainId>) {
        for drain in &drains {
            self.0.drains.stop(*drain);
        }
        if !drains.is_empty() {
            let text = format!("{} log drains that {who} had added were removed with the access", drains.len());
            self.0.logs.note(app.id, "api", &text);
        }
    }

    /// All accounts in order of registration.
    pub async fn users(&self, _by: &Administrator, page: Page) -> Result<Listing<User>, Error> {
        self.accounts(Which::All, page).await
    }

    /// The active administrators in order of registration.
    pub async fn administrators(&self, _by: &Administrator, page: Page) -> Result<Listing<User>, Error> {
        self.accounts(Which::Administrators, page).await
    }

    async fn accounts(&self, which: Which, page: Page) -> Result<Listing<User>, Error> {
        let pool = self.0.store.pool();
        let entries = users::list(pool, which, page).await?;
        Ok(Listing::of(page, entries, users::count(pool, which)).await?)
    }

    /// Makes somebody an administrator, or an ordinary user again.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such user, [`Error::Conflict`] when nobody would be one any more.
    pub async fn set_administrator(&self, by: &Administrator, name: &str, is_superuser: bool) -> Result<(), Error> {
        let user = known(&self.0.store, name).await?;
        let mut tx = self.0.store.begin().await?;
        if !is_superuser && user.is_superuser && !users::is_replaceable(&mut tx, user.id).await? {
            return Err(last_administrator(&user));
        }
        users::set_superuser(&mut *tx, user.id, is_superuser).await?;
        tx.commit().await.map_err(StoreError::from)?;
        self.0.callers.forget_all();
        self.tell_router(None).await;
        tracing::info!(user.name = %user.username, is_superuser, by = %by.user().username, "administrators changed");
        Ok(())
    }
}

/// Somebody has to look after the server.
pub(super) fn last_administrator(user: &User) -> Error {
    Error::Conflict(format!(
        "{} is the only administrator of this server: make another account one first, or type `slipway user create NAME \
         --admin` on the host",
        user.username
    ))
}
