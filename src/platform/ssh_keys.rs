//! SSH keys: add, list, remove.

use ssh_key::{Algorithm, HashAlg, PublicKey};

use super::{Error, Listing, Platform};
use crate::model::{QuotaKind, SshKey, User};
use crate::store::{Page, StoreError, ssh_keys};

/// Longest name that a person may give a key (Deis, spec §13).
const KEY_NAME_MAX: usize = 128;
/// Shortest RSA modulus that is taken, in bits; OpenSSH's own limit for what is still considered safe.
const RSA_BITS_MIN: usize = 2048;

impl Platform {
    /// Registers an OpenSSH public key: ed25519, RSA or ECDSA. The same key with another comment is the same key.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `id` or `public`, [`Error::Taken`] likewise.
    pub async fn add_ssh_key(&self, user: &User, name: &str, public: &str) -> Result<SshKey, Error> {
        if name.is_empty() || name.len() > KEY_NAME_MAX {
            return Err(Error::invalid("id", format!("A key id has 1 to {KEY_NAME_MAX} characters.")));
        }
        let public = public.trim();
        let fingerprint = parse(public)?;
        let pool = self.0.store.pool();
        let mut tx = self.0.store.begin().await?;
        self.ask_for(&mut tx, user.id, QuotaKind::Keys, 1).await?;
        match ssh_keys::insert(&mut *tx, user.id, name, public, &fingerprint).await {
            Ok(_) => {
                tx.commit().await.map_err(StoreError::from)?;
                self.ssh_key(user, name).await
            }
            Err(StoreError::Duplicate) => {
                tx.rollback().await.map_err(StoreError::from)?;
                let is_known = ssh_keys::is_registered(pool, &fingerprint).await?;
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

/// The fingerprint (`SHA256:...`) of an OpenSSH public key line.
fn parse(public: &str) -> Result<String, Error> {
    let invalid = |message: String| Error::invalid("public", message);
    let key = PublicKey::from_openssh(public).map_err(|error| {
        invalid(format!("This is not an OpenSSH public key ({error}); send the whole line of a .pub file."))
    })?;
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } => {}
        Algorithm::Rsa { .. } => {
            let bits = key.key_data().rsa().and_then(|rsa| rsa.n.as_positive_bytes()).map_or(0, |n| n.len() * 8);
            if bits < RSA_BITS_MIN {
                return Err(invalid(format!(
                    "An RSA key needs at least {RSA_BITS_MIN} bits, this one has about {bits}."
                )));
            }
        }
        other => {
            return Err(invalid(format!(
                "Keys of type {other} are not taken; use ssh-ed25519, ssh-rsa or ecdsa-sha2-*."
            )));
        }
    }
    Ok(key.fingerprint(HashAlg::Sha256).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJHqLJ3JJXPkvXu4NuYvQZ7bB3p6vUdl7YpFQbCkKfSW";

    #[test]
    fn keys_are_parsed_and_told_apart_by_their_blob() {
        let plain = parse(ED25519).unwrap();
        assert!(plain.starts_with("SHA256:"));
        assert_eq!(plain, parse(&format!("{ED25519} me@laptop")).unwrap());
        for bad in ["", "ssh-ed25519", "ssh-ed25519 AAAA", "hello world", "ssh-dss AAAAB3NzaC1kc3MAAACBAP"] {
            assert!(matches!(parse(bad), Err(Error::Invalid { field: "public", .. })), "{bad}");
        }
    }
}
