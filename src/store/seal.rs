//! Secrets at rest: values are sealed with a key file, tokens are kept as digests only.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use rand::Rng;
use sha2::{Digest, Sha256};

const NONCE_BYTES: usize = 24;

/// Why a sealed value or the key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Wrong key, wrong place, or damaged bytes.
    #[error("the sealed bytes do not open with this key")]
    Unsealable,
    /// The key file is not 64 hex digits.
    #[error("{0} is not a secrets key: it must hold 64 hex digits")]
    NotAKey(String),
    /// Others can read the key file.
    #[error("{path} has mode {mode:o}; type: chmod 600 {path}")]
    Exposed {
        /// The key file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file cannot be read or made.
    #[error("secrets key {path}: {source}")]
    Io {
        /// The key file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Seals and opens values (XChaCha20-Poly1305) and derives tokens (HMAC-SHA-256) from one 32-byte key.
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    key: [u8; 32],
}

impl Sealer {
    /// A sealer with a given key.
    pub fn new(key: [u8; 32]) -> Self {
        let cipher = XChaCha20Poly1305::new(&Self::derive_from(&key, "seal", b"").into());
        Self { cipher, key }
    }

    /// Reads the key file, making it with a random key and mode 0600 when it does not exist.
    ///
    /// # Errors
    /// [`SealError::Exposed`] when group or others have any right on it: a key that others may read protects nothing.
    pub fn load_or_create(path: &Path) -> Result<Self, SealError> {
        let io = |source| SealError::Io { path: path.display().to_string(), source };
        match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(mut file) => {
                file.write_all(random_hex(32).as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io(error)),
        }
        let mode = fs::metadata(path).map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SealError::Exposed { path: path.display().to_string(), mode });
        }
        let text = fs::read_to_string(path).map_err(io)?;
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| SealError::NotAKey(path.display().to_string()))?;
        Ok(Self::new(key))
    }

    /// Seals `plain`. `place` (an id) is bound in: the result opens nowhere else.
    pub fn seal(&self, plain: &[u8], place: &str) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload { msg: plain, aad: place.as_bytes() };
        let sealed = self.cipher.encrypt(XNonce::from_slice(&nonce), payload).expect("values are far below 256 GiB");
        [&nonce[..], &sealed].concat()
    }

    /// Opens what [`Sealer::seal`] made for the same place.
    pub fn open(&self, sealed: &[u8], place: &str) -> Result<Vec<u8>, SealError> {
        let (nonce, body) = sealed.split_at_checked(NONCE_BYTES).ok_or(SealError::Unsealable)?;
        let payload = Payload { msg: body, aad: place.as_bytes() };
        self.cipher.decrypt(XNonce::from_slice(nonce), payload).map_err(|_| SealError::Unsealable)
    }

    /// A key for one purpose, of which the purpose's other keys and this one's source say nothing.
    pub fn derive(&self, purpose: &str, input: &[u8]) -> [u8; 32] {
        Self::derive_from(&self.key, purpose, input)
    }

    fn derive_from(key: &[u8; 32], purpose: &str, input: &[u8]) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(input);
        mac.finalize().into_bytes().into()
    }
}

/// SHA-256 in hex: how a token is stored.
pub fn digest(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

/// `bytes` random bytes in hex.
pub fn random_hex(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    rand::rng().fill_bytes(&mut buffer);
    hex::encode(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_values_open_only_in_their_place_and_with_their_key() {
        let sealer = Sealer::new([7; 32]);
        let sealed = sealer.seal(b"secret", "config-1");
        assert_eq!(sealer.open(&sealed, "config-1").unwrap(), b"secret");
        assert!(sealer.open(&sealed, "config-2").is_err());
        assert!(Sealer::new([8; 32]).open(&sealed, "config-1").is_err());
        assert!(sealer.open(&sealed[..10], "config-1").is_err());
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
    }

    #[test]
    fn the_key_file_is_private_and_an_exposed_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.key");
        let sealed = Sealer::load_or_create(&path).unwrap().seal(b"x", "p");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Sealer::load_or_create(&path).unwrap().open(&sealed, "p").unwrap(), b"x");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Sealer::load_or_create(&path), Err(SealError::Exposed { mode: 0o644, .. })));
    }
}
