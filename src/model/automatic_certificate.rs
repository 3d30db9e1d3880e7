//! Certificates that the platform gets by itself.

use std::fmt;
use std::str::FromStr;

use super::build::words;
use super::{CertificateName, Timestamp};

/// How an authority is shown that a name leads to this server (RFC 8555 §8.3, RFC 8737).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeChoice {
    /// By HTTP first; each failure turns to the other way.
    Any,
    /// By HTTP at port 80 of the name.
    Http,
    /// By TLS at port 443 of the name.
    Tls,
}

words!(ChallengeChoice, "challenge", Any = "any", Http = "http-01", Tls = "tls-alpn-01");

/// How it stands with the certificate of one host name, without the certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutomaticCertificate {
    /// The host name.
    pub name: CertificateName,
    /// From when on no browser takes it; `None` while there is none.
    pub expires_at: Option<Timestamp>,
    /// When it is asked for, or the one after it.
    pub next_try_at: Timestamp,
    /// Tries in a row that failed.
    pub failures: u32,
    /// Why the last try failed; empty when it succeeded, or there was none.
    pub last_error: String,
    /// When the last try ended.
    pub updated_at: Timestamp,
}

impl AutomaticCertificate {
    /// Whether there is one that browsers take at that moment.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end > now)
    }
}
