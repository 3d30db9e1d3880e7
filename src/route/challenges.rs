//! Answers to an authority that wants to see whether a name leads here, before it makes a certificate for it.
//!
//! HTTP-01 (RFC 8555 §8.3) asks for a text under a token; TLS-ALPN-01 (RFC 8737) makes a handshake that offers the protocol
//! `acme-tls/1` alone and looks at the certificate that it is shown.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;

/// Where an authority asks for the text of a token.
pub(crate) const HTTP_PATH: &str = "/.well-known/acme-challenge/";

/// The protocol of handshakes that are a challenge and nothing else.
pub(crate) const TLS_PROTOCOL: &[u8] = b"acme-tls/1";

/// What is shown to an authority, for as long as its challenges last. Cheap to clone; clones are the same.
#[derive(Clone, Default)]
pub struct Challenges(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// How many answers there are: the only thing that every request looks at.
    count: AtomicUsize,
    answers: Mutex<Answers>,
}

#[derive(Default)]
struct Answers {
    /// Token -> text.
    texts: HashMap<String, Bytes>,
    /// Host name in lower case -> certificate.
    certificates: HashMap<String, Arc<CertifiedKey>>,
}

/// An answer that stands; dropping this takes it back.
#[must_use]
pub struct Offered {
    challenges: Challenges,
    key: Key,
}

enum Key {
    Token(String),
    Name(String),
}

impl Challenges {
    /// Answers HTTP-01: `text` under `token`.
    pub fn offer_text(&self, token: &str, text: &str) -> Offered {
        self.lock().texts.insert(token.to_owned(), Bytes::copy_from_slice(text.as_bytes()));
        self.offered(Key::Token(token.to_owned()))
    }

    /// Answers TLS-ALPN-01: `certificate` for `name`; see [`tls::challenge_certificate`](super::tls::challenge_certificate).
    pub fn offer_certificate(&self, name: &str, certificate: CertifiedKey) -> Offered {
        let name = name.to_ascii_lowercase();
        self.lock().certificates.insert(name.clone(), Arc::new(certificate));
        self.offered(Key::Name(name))
    }

    fn offered(&self, key: Key) -> Offered {
        self.0.count.fetch_add(1, Ordering::AcqRel);
        Offered { challenges: self.clone(), key }
    }

    /// The text that a request for `path` is after, if it is one of ours. An app may answer challenges of its own.
    pub(crate) fn text(&self, path: &str) -> Option<Bytes> {
        if self.0.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.lock().texts.get(path.strip_prefix(HTTP_PATH)?).cloned()
    }

    /// Whether a handshake is a challenge; what to show to it, if anything.
    pub(crate) fn certificate(&self, hello: &ClientHello<'_>) -> Option<Option<Arc<CertifiedKey>>> {
        let mut protocols = hello.alpn()?;
        let is_challenge = protocols.next() == Some(TLS_PROTOCOL) && protocols.next().is_none();
        is_challenge.then(|| {
            let name = hello.server_name()?.to_ascii_lowercase();
            self.lock().certificates.get(&name).cloned()
        })
    }

    /// The state behind the lock is valid between any two statements, even after a panic elsewhere.
    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.0.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        let mut answers = self.challenges.lock();
        match &self.key {
            Key::Token(token) => drop(answers.texts.remove(token)),
            Key::Name(name) => drop(answers.certificates.remove(name)),
        }
        self.challenges.0.count.fetch_sub(1, Ordering::AcqRel);
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenges").field("count", &self.0.count).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_there_as_long_as_its_offer() {
        let challenges = Challenges::default();
        let text = |path: &str| challenges.text(path).map(|text| String::from_utf8_lossy(&text).into_owned());
        let offered = challenges.offer_text("a-token", "a-token.of-an-account");
        assert_eq!(text("/.well-known/acme-challenge/a-token").as_deref(), Some("a-token.of-an-account"));
        for other in ["/.well-known/acme-challenge/", "/.well-known/acme-challenge/other", "/a-token", "/"] {
            assert_eq!(text(other), None, "{other}");
        }
        drop(offered);
        assert_eq!(text("/.well-known/acme-challenge/a-token"), None);
    }
}
