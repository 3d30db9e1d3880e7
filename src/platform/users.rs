//! Accounts: register, log in, recognise.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

use super::{Error, Platform};
use crate::model::{Registration, User, Username};
use crate::store::users::{self, NewUser};
use crate::store::{StoreError, random_hex};

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
        let is_first = users::count(self.0.store.pool()).await? == 0;
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
    /// [`Error::WrongCredentials`] alike for an unknown name and a wrong password, in the same time; [`Error::Disabled`].
    pub async fn log_in(&self, username: &str, password: &str) -> Result<String, Error> {
        let store = &self.0.store;
        let user = users::by_name(store.pool(), username).await?;
        let hash = match &user {
            Some(user) => users::password_hash(store.pool(), user.id).await?,
            None => String::new(),
        };
        let is_right = verify(password.to_owned(), hash).await?;
        let user = user.filter(|_| is_right).ok_or(Error::WrongCredentials)?;
        if !user.is_active {
            return Err(Error::Disabled);
        }
        Ok(users::log_in(store.pool(), store.sealer(), user.id).await?)
    }

    /// Whose token this is.
    pub async fn user_for_token(&self, token: &str) -> Result<Option<User>, Error> {
        Ok(users::by_token(self.0.store.pool(), token).await?)
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
    let user = users::by_name(store.pool(), name.as_str()).await?;
    let user = user.ok_or_else(|| Error::NotFound(format!("user '{name}'")))?;
    Ok(users::set_password_hash(store.pool(), user.id, &hash(password).await?).await?)
}

/// argon2id with the parameters that OWASP recommends first: 19 MiB, 2 passes, 1 lane.
fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(19 * 1024, 2, 1, None).expect("constants in range"))
}

async fn hash(password: String) -> Result<String, Error> {
    let work = move || {
        let salt =
            SaltString::encode_b64(&hex::decode(random_hex(16)).expect("hex that we made")).map_err(hash_error)?;
        Ok(argon2().hash_password(password.as_bytes(), &salt).map_err(hash_error)?.to_string())
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal(error.into()))?
}

/// Whether the password is the hash's. An empty hash costs the same time and is nobody's.
async fn verify(password: String, hash: String) -> Result<bool, Error> {
    let work = move || match PasswordHash::new(&hash) {
        Ok(parsed) => argon2().verify_password(password.as_bytes(), &parsed).is_ok(),
        Err(_) => {
            let mut out = [0; 32];
            let _spent = argon2().hash_password_into(password.as_bytes(), b"no account has this", &mut out);
            false
        }
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal(error.into()))
}

fn hash_error(error: argon2::password_hash::Error) -> Error {
    Error::Internal(anyhow::anyhow!("argon2: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn passwords_are_argon2id_and_verify() {
        let hashed = hash("secret".to_owned()).await.unwrap();
        assert!(hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hashed}");
        assert_ne!(hashed, hash("secret".to_owned()).await.unwrap());
        assert!(verify("secret".to_owned(), hashed.clone()).await.unwrap());
        assert!(!verify("other".to_owned(), hashed).await.unwrap());
        assert!(!verify("secret".to_owned(), String::new()).await.unwrap());
    }
}
