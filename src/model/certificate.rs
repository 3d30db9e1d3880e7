//! Certificates: what proves to a browser that it reached the host it asked for.

use std::fmt;
use std::str::FromStr;

use super::domain::{HOST_MAX, has_host_labels};
use super::{CertificateId, Timestamp, UserId, Username};

/// A name that a certificate is made out to: a host name or `*.` before one, in lower case, without a final dot.
///
/// Unlike a [`DomainName`](super::DomainName) it may be a single label, as in certificates for `localhost`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertificateName(String);

/// The text is not a host name, nor a wildcard of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name of a certificate is a host name, as in www.example.com, or a wildcard, as in *.example.com")]
pub struct InvalidCertificateName;

impl CertificateName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CertificateName {
    type Err = InvalidCertificateName;

    fn from_str(text: &str) -> Result<Self, InvalidCertificateName> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let host = name.strip_prefix("*.").unwrap_or(&name);
        let is_valid = name.len() <= HOST_MAX && has_host_labels(host) && host.parse::<std::net::IpAddr>().is_err();
        if is_valid { Ok(Self(name)) } else { Err(InvalidCertificateName) }
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A certificate that a person uploaded, without the certificate itself and its key: those leave the server in handshakes
/// only.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Stable identity.
    pub id: CertificateId,
    /// Small number in order of upload, for display.
    pub number: i64,
    /// Whose it is.
    pub owner_id: UserId,
    /// The owner's name, for display.
    pub owner: Username,
    /// What it is called by; one of its names, unique on the server.
    pub common_name: CertificateName,
    /// From when on no browser takes it.
    pub expires_at: Timestamp,
    /// When it was uploaded.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hosts_or_wildcards() {
        let check = |text: &str, expect: Option<&str>| {
            let name = text.parse::<CertificateName>().ok();
            assert_eq!(name.as_ref().map(CertificateName::as_str), expect, "{text:?}");
        };
        check("www.Example.com", Some("www.example.com"));
        check("*.Example.com.", Some("*.example.com"));
        check("localhost", Some("localhost"));
        check("*.localhost", Some("*.localhost"));
        for bad in
            ["", "*", "*.", "127.0.0.1", "Example Org", "a_b.example.com", "www.*.com", "a..b", "*.*.com", "é.com"]
        {
            check(bad, None);
        }
    }
}
