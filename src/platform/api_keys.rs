//! API keys: made for whoever has the account's password, or at the host's own command line.

use std::net::IpAddr;

use super::users::known;
use super::{Error, Platform};
use crate::model::{User, Username};
use crate::store::{Store, StoreError, api_keys, digest, random_hex, users};

/// Keys that an account holds at most; the oldest goes when another is made.
pub const API_KEYS_MAX: i64 = 20;
/// Bytes of a key; it is written as twice as many hex digits.
const KEY_BYTES: usize = 20;

impl Platform {
    /// Makes another API key for whoever knows the account's password. `name` is the account's or its e-mail address;
    /// keys that were made before stay good, up to [`API_KEYS_MAX`].
    ///
    /// # Errors
    /// As [`Platform::log_in`].
    pub async fn mint_api_key(
        &self,
        name: &str,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<(Username, String), Error> {
        let pool = self.0.store.pool();
        let user = match users::by_name(pool, name).await? {
            None if name.contains('@') => users::by_email(pool, name).await?,
            found => found,
        };
        let user = self.check_password(name, user, password, from).await?;
        let key = add_key(&self.0.store, &user).await?;
        users::log_in(pool, self.0.store.sealer(), user.id).await?;
        // Another key may have gone for this one.
        self.0.callers.forget_all();
        Ok((user.username, key))
    }

    /// Whose API key this is, if it is that of `username`; `None` also for accounts that are switched off.
    pub async fn user_for_api_key(&self, username: &str, key: &str) -> Result<Option<User>, Error> {
        // Keys and tokens are remembered together, and are not each other.
        let name = format!("key {}", digest(key));
        let (known, seen) = self.0.callers.get(&name);
        let user = match known {
            Some(user) => Some(user),
            None => {
                let user = api_keys::user_of(self.0.store.pool(), key).await?;
                if let Some(user) = &user {
                    self.0.callers.remember(seen, name, user.clone());
                }
                user
            }
        };
        Ok(user.filter(|user| user.is_active && user.username.as_str() == username))
    }
}

/// Makes another API key for an account; for the host's own command line.
///
/// # Errors
/// [`Error::NotFound`] when there is no such account.
pub async fn create_api_key(store: &Store, name: &Username) -> Result<String, Error> {
    add_key(store, &known(store, name.as_str()).await?).await
}

async fn add_key(store: &Store, user: &User) -> Result<String, Error> {
    let key = random_hex(KEY_BYTES);
    let mut tx = store.begin().await?;
    // The password may have been changed while it was looked at.
    if !users::is_in_epoch(&mut tx, user.id, user.epoch).await? {
        return Err(Error::WrongCredentials);
    }
    api_keys::insert(&mut tx, user.id, &key, API_KEYS_MAX).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(key)
}
