//! One's own account: password, token, the end of it.

use std::net::IpAddr;

use tokio::time::sleep;

use super::operations::LOOK;
use super::passwords::verify;
use super::sharing::last_administrator;
use super::users::{known, replace_password};
use super::{Administrator, Error, OwnerHandle, Platform};
use crate::model::{App, User};
use crate::store::{StoreError, apps, operations, users};

/// Rounds of destroying what a user owns: more are needed only when apps are created meanwhile.
const ROUNDS: usize = 10;

impl Platform {
    /// Changes one's own password, and ends what was signed in with the one before: the token is another one from now on, API keys are
    /// gone, and what was begun with them ends.
    ///
    /// # Errors
    /// [`Error::WrongCredentials`] when `current` is not the password, [`Error::Throttled`] after too many of those.
    pub async fn change_password(
        &self,
        user: &User,
        current: String,
        new: String,
        from: Option<IpAddr>,
    ) -> Result<(), Error> {
        let pool = self.0.store.pool();
        let attempt = self.0.throttle.begin(user.username.as_str(), from).map_err(Error::Throttled)?;
        let turn = attempt.turn().await.map_err(Error::Throttled)?;
        if !verify(current, users::password_hash(pool, user.id).await?, turn).await? {
            attempt.failed();
            return Err(Error::WrongCredentials);
        }
        attempt.succeeded();
        let turn = self.0.throttle.turn(from).await.map_err(Error::Throttled)?;
        replace_password(&self.0.store, user, new, turn, Some(user.epoch)).await?;
        self.0.callers.forget_all();
        Ok(())
    }

    /// Sets somebody's password without knowing the old one.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such account.
    pub async fn set_password(&self, _by: &Administrator, name: &str, new: String) -> Result<(), Error> {
        let user = known(&self.0.store, name).await?;
        let turn = self.0.throttle.turn(None).await.map_err(Error::Throttled)?;
        replace_password(&self.0.store, &user, new, turn, None).await?;
        self.0.callers.forget_all();
        Ok(())
    }

    /// Gives a user another token; the old one is worth nothing from now on.
    pub async fn renew_token(&self, user: &User) -> Result<String, Error> {
        let mut tx = self.0.store.begin().await?;
        let token = users::renew_token(&mut *tx, self.0.store.sealer(), user.id).await?;
        users::advance_epoch(&mut *tx, user.id).await?;
        tx.commit().await.map_err(StoreError::from)?;
        self.0.callers.forget_all();
        Ok(token)
    }

    /// Gives somebody else another token.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such account.
    pub async fn renew_token_of(&self, _by: &Administrator, name: &str) -> Result<String, Error> {
        self.renew_token(&known(&self.0.store, name).await?).await
    }

    /// Gives everybody another token; yields the caller's own.
    pub async fn renew_all_tokens(&self, by: &Administrator) -> Result<String, Error> {
        let (sealer, mut own) = (self.0.store.sealer(), String::new());
        let mut tx = self.0.store.begin().await?;
        for user in users::list(&mut *tx, users::Which::All, super::Page::ALL).await? {
            let token = users::renew_token(&mut *tx, sealer, user.id).await?;
            users::advance_epoch(&mut *tx, user.id).await?;
            if user.id == by.user().id {
                own = token;
            }
        }
        tx.commit().await.map_err(StoreError::from)?;
        self.0.callers.forget_all();
        Ok(own)
    }

    /// Ends an account: first its apps, each as [`Platform::destroy_app`] does, then its keys, certificates, shares and name. What the
    /// user released in apps of others stays there.
    ///
    /// # Errors
    /// [`Error::Conflict`] for the only administrator of a server with other accounts; else that of the app which cannot be destroyed: then the account and the apps that are left stay, and calling again
    /// goes on from there.
    pub async fn cancel_account(&self, user: &User) -> Result<(), Error> {
        let (platform, user) = (self.clone(), user.clone());
        self.owned(async move {
            platform.refuse_last_administrator(&user).await?;
            for _ in 0..ROUNDS {
                platform.destroy_apps_of(&user).await?;
                let mut tx = platform.0.store.begin().await?;
                if user.is_superuser && !users::is_replaceable(&mut tx, user.id).await? && platform.has_others().await?
                {
                    return Err(last_administrator(&user));
                }
                match users::delete(&mut tx, user.id).await {
                    Ok(()) => {
                        tx.commit().await.map_err(StoreError::from)?;
                        platform.0.callers.forget_all();
                        platform.tell_router(None).await;
                        return Ok(());
                    }
                    Err(StoreError::Dangling) => tx.rollback().await.map_err(StoreError::from)?,
                    Err(error) => return Err(error.into()),
                }
            }
            Err(Error::Refused(
                "apps are being created in this account; cancel it again when that has ended".to_owned(),
            ))
        })
        .await
    }

    /// Before anything is destroyed; asked again in the transaction that deletes the account.
    async fn refuse_last_administrator(&self, user: &User) -> Result<(), Error> {
        let mut tx = self.0.store.begin().await?;
        let is_needed = user.is_superuser && !users::is_replaceable(&mut tx, user.id).await?;
        tx.rollback().await.map_err(StoreError::from)?;
        if is_needed && self.has_others().await? { Err(last_administrator(user)) } else { Ok(()) }
    }

    /// Whether there are other accounts than one: a server with a single account may lose it and be as it was at first.
    async fn has_others(&self) -> Result<bool, Error> {
        Ok(users::count(self.0.store.pool(), users::Which::All).await? > 1)
    }

    async fn destroy_apps_of(&self, user: &User) -> Result<(), Error> {
        for app in apps::owned_by(self.0.store.pool(), user.id).await? {
            match self.destroy_app(&OwnerHandle::of_owner(app.clone(), user)).await {
                // It was on its way out already.
                Err(Error::NotFound(_)) => self.end_destroying(&app).await?,
                destroyed => destroyed?,
            }
        }
        Ok(())
    }

    /// Sees the destruction of an app through that somebody else has begun, and maybe given up.
    async fn end_destroying(&self, app: &App) -> Result<(), Error> {
        while operations::live_of(self.0.store.pool(), app.id).await?.is_some() {
            sleep(LOOK).await;
        }
        self.finish_destroying(app).await
    }
}
