//! Passwords: argon2id hashes, made and checked a few at a time.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use super::Error;
use crate::store::random_hex;

/// argon2id with the parameters that OWASP recommends first: 19 MiB, 2 passes, 1 lane.
fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(19 * 1024, 2, 1, None).expect("constants in range"))
}

/// Each hash takes 19 MiB and a core for some milliseconds: a flood of logins waits in line instead of taking them all.
static HASHING: Semaphore = Semaphore::const_new(4);

/// A fresh hash of a password, in PHC form.
pub(super) async fn hash(password: String) -> Result<String, Error> {
    let work = move || {
        let salt =
            SaltString::encode_b64(&hex::decode(random_hex(16)).expect("hex that we made")).map_err(hash_error)?;
        Ok(argon2().hash_password(password.as_bytes(), &salt).map_err(hash_error)?.to_string())
    };
    let _turn = HASHING.acquire().await;
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal(error.into()))?
}

/// Whether the password is the hash's. An empty hash costs the same time and is nobody's.
pub(super) async fn verify(password: String, hash: String) -> Result<bool, Error> {
    let work = move || match PasswordHash::new(&hash) {
        Ok(parsed) => argon2().verify_password(password.as_bytes(), &parsed).is_ok(),
        Err(_) => {
            let mut out = [0; 32];
            let _spent = argon2().hash_password_into(password.as_bytes(), b"no account has this", &mut out);
            false
        }
    };
    let _turn = HASHING.acquire().await;
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
