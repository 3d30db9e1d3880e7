//! Passwords: argon2id hashes, made and checked in turn.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

use super::Error;
use super::hash_queue::Turn;
use crate::store::random_hex;

/// argon2id with the parameters that OWASP recommends first: 19 MiB, 2 passes, 1 lane.
fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(19 * 1024, 2, 1, None).expect("constants in range"))
}

/// A fresh hash of a password, in PHC form.
pub(super) async fn hash(password: String, turn: Turn) -> Result<String, Error> {
    let work = move || {
        // Here, so that whoever hangs up does not let the next one begin while this goes on.
        let _turn = turn;
        let salt =
            SaltString::encode_b64(&hex::decode(random_hex(16)).expect("hex that we made")).map_err(hash_error)?;
        Ok(argon2().hash_password(password.as_bytes(), &salt).map_err(hash_error)?.to_string())
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal(error.into()))?
}

/// Whether the password is the hash's. An empty hash costs the same time and is nobody's.
pub(super) async fn verify(password: String, hash: String, turn: Turn) -> Result<bool, Error> {
    let work = move || {
        let _turn = turn;
        match PasswordHash::new(&hash) {
            Ok(parsed) => argon2().verify_password(password.as_bytes(), &parsed).is_ok(),
            Err(_) => {
                let mut out = [0; 32];
                let _spent = argon2().hash_password_into(password.as_bytes(), b"no account has this", &mut out);
                false
            }
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
    use crate::platform::hash_queue::HashQueue;

    #[tokio::test]
    async fn passwords_are_argon2id_and_verify() {
        let queue = HashQueue::default();
        let turn = async || queue.turn(None).await.unwrap();
        let hash = async |password: &str| hash(password.to_owned(), turn().await).await.unwrap();
        let verify = async |password: &str, hash: &str| {
            verify(password.to_owned(), hash.to_owned(), turn().await).await.unwrap()
        };
        let hashed = hash("secret").await;
        assert!(hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hashed}");
        assert_ne!(hashed, hash("secret").await);
        assert!(verify("secret", &hashed).await);
        assert!(!verify("other", &hashed).await);
        assert!(!verify("secret", "").await);
    }
}
