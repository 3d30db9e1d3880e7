//! SSH keys: add, list, remove.

mod text;

use self::text::Key;
use super::{Error, Listing, Platform};
use crate::model::{QuotaKind, SshKey, User};
use crate::store::{Page, StoreError, ssh_keys};

/// Longest name that a person may give a key (Deis, spec §13).
const KEY_NAME_MAX: usize = 128;

impl Platform {
    /// Registers a public key: ed25519, RSA or ECDSA, on a security token or not, as OpenSSH or RFC 4716 writes it. The
    /// same key with another comment is the same key.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `id` or `public`, [`Error::Taken`] likewise.
    pub async fn add_ssh_key(&self, user: &User, name: &str, public: &str) -> Result<SshKey, Error> {
        if name.is_empty() || name.len() > KEY_NAME_MAX {
            return Err(Error::invalid("id", format!("A key id has 1 to {KEY_NAME_MAX} characters.")));
        }
        let key = Key::read(public).map_err(|message| Error::invalid("public", message))?;
        let pool = self.0.store.pool();
        let mut tx = self.0.store.begin().await?;
        self.ask_for(&mut tx, user.id, QuotaKind::Keys, 1).await?;
        match ssh_keys::insert(&mut *tx, user.id, name, &key.line, &key.fingerprint).await {
            Ok(_) => {
                tx.commit().await.map_err(StoreError::from)?;
                self.ssh_key(user, name).await
            }
            Err(StoreError::Duplicate) => {
                tx.rollback().await.map_err(StoreError::from)?;
                let is_known = ssh_keys::is_registered(pool, &key.fingerprint).await?;
                Err(Error::Taken { field: if is_known { "public" } else { "id" } })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The user's key of that name.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn ssh_key(&self, user: &User, name: &str) -> Result<SshKey, Error> {
        let found = ssh_keys::by_name(self.0.store.pool(), user.id, name).await?;
        found.ok_or_else(|| Error::NotFound(format!("key '{name}'")))
    }

    /// The user's keys in order of creation.
    pub async fn ssh_keys(&self, user: &User, page: Page) -> Result<Listing<SshKey>, Error> {
        let pool = self.0.store.pool();
        let entries = ssh_keys::list(pool, user.id, page).await?;
        Ok(Listing::of(page, entries, ssh_keys::count(pool, user.id)).await?)
    }

    /// Removes the user's key of that name; pushes with it are refused from now on.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn remove_ssh_key(&self, user: &User, name: &str) -> Result<(), Error> {
        if ssh_keys::delete(self.0.store.pool(), user.id, name).await? {
            Ok(())
        } else {
            Err(Error::NotFound(format!("key '{name}'")))
        }
    }
}
