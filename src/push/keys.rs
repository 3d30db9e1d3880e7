//! The key that proves to clients which server they talk to.

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};

/// The stored host key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the host key is not an OpenSSH private key without a passphrase: {0}")]
pub struct InvalidHostKey(String);

/// A fresh ed25519 host key in OpenSSH's PEM form, as `ssh-keygen` writes it. Keep it secret and keep it: clients
/// remember it.
pub fn generate_host_key() -> String {
    let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).expect("ed25519 keys are always compiled in");
    key.to_openssh(LineEnding::LF).expect("a key without passphrase and with no comment encodes").to_string()
}

/// Reads what [`generate_host_key`] or `ssh-keygen` wrote.
///
/// # Errors
/// [`InvalidHostKey`], also for a key with a passphrase.
pub fn parse_host_key(pem: &str) -> Result<PrivateKey, InvalidHostKey> {
    let key = PrivateKey::from_openssh(pem).map_err(|error| InvalidHostKey(error.to_string()))?;
    if key.is_encrypted() { Err(InvalidHostKey("it has a passphrase".to_owned())) } else { Ok(key) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_is_read_back_and_never_the_same() {
        let pem = generate_host_key();
        assert!(pem.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n"));
        assert_eq!(parse_host_key(&pem).unwrap().to_openssh(LineEnding::LF).unwrap().to_string(), pem);
        assert_ne!(generate_host_key(), pem);
        for other in ["", "nonsense", &pem[..pem.len() / 2]] {
            assert!(parse_host_key(other).is_err(), "{other:?}");
        }
    }
}
