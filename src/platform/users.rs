//! Accounts: register, log in, recognise.

use std::net::IpAddr;

use super::passwords::{hash, verify};
use super::{Error, Platform};
use crate::model::{Registration, User, Username};
use crate::store::users::{self, NewUser, Which};
use crate::store::{StoreError, digest};

/// An account that somebody asks for.
#[derive(Clone)]
pub struct NewAccount {
    /// Login name.
    pub username: Username,
    /// Any text of at least one character.
    pub password: String,
    /// May be empty.
    pub email: String,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
    /// Makes an administrator; without it only the first account becomes one.
    pub is_superuser: bool,
}

impl Platform {
    /// Registers an account at a door. `by` is who asks, if they are logged in. The first account is the administrator.
    ///
    /// # Errors
    /// [`Error::Forbidden`] when registration is not open to the asker, [`Error::Taken`] for a name in use.
    pub async fn register(&self, by: Option<&User>, account: NewAccount) -> Result<User, Error> {
        let is_first = users::count(self.0.store.pool(), Which::All).await? == 0;
        let may = match self.0.settings.registration {
            Registration::Open => true,
            Registration::AdminOnly => is_first || by.is_some_and(|user| user.is_superuser),
            Registration::Closed => is_first,
        };
        if !may {
            return Err(Error::Forbidden);
        }
        create_account(&self.0.store, account).await
    }

    /// Checks a password and yields the account's token: the same at every login, as Deis clients expect.
    ///
    /// # Errors
    /// [`Error::WrongCredentials`], [`Error::Disabled`], and [`Error::Throttled`] after too many wrong passwords.
    pub async fn log_in(&self, username: &str, password: &str, from: Option<IpAddr>) -> Result<String, Error> {
        let store = &self.0.store;
        let user = users::by_name(store.pool(), username).await?;
        let user = self.check_password(username, user, password, from).await?;
        Ok(users::log_in(store.pool(), store.sealer(), user.id).await?)
    }

    /// Whether this is the password of `user`, the account that somebody at `from` called `name`.
    ///
    /// # Errors
    /// [`Error::WrongCredentials`] alike for no account and a wrong password, in the same time; [`Error::Disabled`];
    /// [`Error::Throttled`] after too many wrong ones for this name or from this address, whatever the password now.
    pub(super) async fn check_password(
        &self,
        name: &str,
        user: Option<User>,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<User, Error> {
        // One count for an account, whatever it was called by.
        let account = user.as_ref().map_or(name, |user| user.username.as_str());
        let attempt = self.0.throttle.begin(account, from).map_err(Error::Throttled)?;
        let hash = match &user {
            Some(user) => users::password_hash(self.0.store.pool(), user.id).await?,
            None => String::new(),
        };
        let is_right = verify(password.to_owned(), hash).await?;
        let Some(user) = user.filter(|_| is_right) else {
            attempt.failed();
            return Err(Error::WrongCredentials);
        };
        attempt.succeeded();
        if user.is_active { Ok(user) } else { Err(Error::Disabled) }
    }

    /// Whose token this is.
    pub async fn user_for_token(&self, token: &str) -> Result<Option<User>, Error> {
        let digest = digest(token);
        let (known, seen) = self.0.callers.get(&digest);
        if known.is_some() {
            return Ok(known);
        }
        let user = users::by_token(self.0.store.pool(), token).await?;
        if let Some(user) = &user {
            self.0.callers.remember(seen, digest, user.clone());
        }
        Ok(user)
    }

    /// Whose SSH key has this fingerprint; `None` also for accounts that are switched off.
    pub async fn user_for_key(&self, fingerprint: &str) -> Result<Option<User>, Error> {
        let user = users::by_fingerprint(self.0.store.pool(), fingerprint).await?;
        Ok(user.filter(|user| user.is_active))
    }

    /// The account of that name.
    pub async fn user(&self, name: &Username) -> Result<Option<User>, Error> {
        Ok(users::by_name(self.0.store.pool(), name.as_str()).await?)
    }
}

/// Creates an account whoever asks; for the host's own command line and for [`Platform::register`].
///
/// # Errors
/// [`Error::Taken`] for a name in use.
pub async fn create_account(store: &crate::store::Store, account: NewAccount) -> Result<User, Error> {
    // Before the costly hash; the database has the last word on two who ask at once.
    if users::by_name(store.pool(), account.username.as_str()).await?.is_some() {
        return Err(Error::Taken { field: "username" });
    }
    let new = NewUser {
        username: account.username,
        email: account.email,
        first_name: account.first_name,
        last_name: account.last_name,
        password_hash: hash(account.password).await?,
        is_superuser: account.is_superuser,
    };
    let mut tx = store.begin().await?;
    let user = users::insert(&mut tx, store.sealer(), &new).await.map_err(|error| match error {
        StoreError::Duplicate => Error::Taken { field: "username" },
        other => other.into(),
    })?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(user)
}

/// Sets an account's password without knowing the old one; for the host's own command line.
///
/// # Errors
/// [`Error::NotFound`] when there is no such account.
pub async fn reset_password(store: &crate::store::Store, name: &Username, password: String) -> Result<(), Error> {
    let user = known(store, name.as_str()).await?;
    Ok(users::set_password_hash(store.pool(), user.id, &hash(password).await?).await?)
}

/// The account of that name, which has to be there.
pub(super) async fn known(store: &crate::store::Store, name: &str) -> Result<User, Error> {
    users::by_name(store.pool(), name).await?.ok_or_else(|| Error::NotFound(format!("user '{name}'")))
}
