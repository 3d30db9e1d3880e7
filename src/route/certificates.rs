//! Which certificate a TLS client is shown: by the name that it asks for, from an immutable snapshot.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::challenges::Challenges;
use crate::model::Timestamp;

/// A certificate that may be shown.
pub struct Servable {
    /// From when on no client takes it.
    pub expires_at: Timestamp,
    /// The chain, leaf first, and the key.
    pub key: Arc<CertifiedKey>,
}

impl fmt::Debug for Servable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Servable").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// What to show for which name. Names are in lower case, certificates in order of preference.
#[derive(Debug, Default)]
pub struct Shown {
    /// Host names. One with no certificate gets the server's own, whatever wildcard matches it.
    pub exact: HashMap<String, Vec<Arc<Servable>>>,
    /// What follows `*.`; for names that are not in `exact`.
    pub wildcards: HashMap<String, Vec<Arc<Servable>>>,
}

/// The certificates of the router. Cheap to clone; clones are the same.
///
/// Handshakes never wait: each looks at the snapshot of that moment. What a client of an unknown name sees, or one that
/// names none, is the server's own certificate.
#[derive(Clone)]
pub struct Certificates {
    own: Arc<CertifiedKey>,
    shown: Arc<ArcSwap<Shown>>,
    challenges: Challenges,
}

impl Certificates {
    /// With nothing to show but the server's own certificate, and to authorities what `challenges` hold.
    pub fn new(own: CertifiedKey, challenges: Challenges) -> Self {
        Self { own: Arc::new(own), shown: Arc::default(), challenges }
    }

    /// One atomic switch: handshakes that begin from now on see these.
    pub fn replace(&self, shown: Shown) {
        self.shown.store(Arc::new(shown));
    }

    /// Whether there is one for `name` at a moment that an authority has issued, which comes with that authority's own: one
    /// that somebody signed for themselves does not.
    pub(crate) fn has_issued(&self, name: &str, now: Timestamp) -> bool {
        let shown = self.shown.load();
        let wildcard = || shown.wildcards.get(name.split_once('.')?.1);
        let found = shown.exact.get(name).or_else(wildcard).map(Vec::as_slice).unwrap_or_default();
        let valid = found.iter().find(|certificate| certificate.expires_at > now);
        valid.is_some_and(|certificate| certificate.key.cert.len() > 1)
    }

    /// What a client that asks for `name` sees at a moment: the first that has not expired, rather an expired one than
    /// none of that name, and the server's own for a name without any.
    pub(crate) fn find(&self, name: &str, now: Timestamp) -> Arc<CertifiedKey> {
        let shown = self.shown.load();
        let wildcard = || shown.wildcards.get(name.split_once('.')?.1);
        let found = shown.exact.get(name).or_else(wildcard).map(Vec::as_slice).unwrap_or_default();
        let valid = found.iter().find(|certificate| certificate.expires_at > now).or(found.first());
        valid.map_or_else(|| Arc::clone(&self.own), |certificate| Arc::clone(&certificate.key))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates")
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(answer) = self.challenges.certificate(&hello) {
            return answer;
        }
        let name = hello.server_name().unwrap_or_default();
        Some(self.find(&name.to_ascii_lowercase(), Timestamp::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::tls;

    fn key(name: &str) -> CertifiedKey {
        let (certificate, key) = tls::self_signed(name).expect("a certificate");
        tls::certified_key(&certificate, &key).expect("usable")
    }

    fn servable(name: &str, expires_at: i64) -> Arc<Servable> {
        Arc::new(Servable { expires_at: Timestamp::from_millis(expires_at), key: Arc::new(key(name)) })
    }

    #[test]
    fn the_closest_name_wins_and_what_expired_only_if_nothing_else_is_there() {
        let certificates = Certificates::new(key("own.test"), Challenges::default());
        let (www, star, old, older) = (servable("a", 100), servable("b", 100), servable("c", 20), servable("d", 10));
        let (www_key, star_key, old_key) = (Arc::clone(&www.key), Arc::clone(&star.key), Arc::clone(&old.key));
        let own = Arc::clone(&certificates.own);
        let check = |name: &str, expect: &Arc<CertifiedKey>| {
            let found = certificates.find(name, Timestamp::from_millis(50));
            assert!(Arc::ptr_eq(&found, expect), "{name}");
        };
        check("www.example.com", &own);
        certificates.replace(Shown {
            exact: [
                ("www.example.com".to_owned(), vec![Arc::clone(&old), www]),
                ("old.example.com".to_owned(), vec![old, older]),
                ("bare.example.com".to_owned(), vec![]),
            ]
            .into(),
            wildcards: [("example.com".to_owned(), vec![star])].into(),
        });
        check("www.example.com", &www_key);
        check("old.example.com", &old_key);
        check("any.example.com", &star_key);
        for name in ["bare.example.com", "example.com", "a.any.example.com", "own.test", ""] {
            check(name, &own);
        }
        certificates.replace(Shown::default());
        check("www.example.com", &own);
    }
}
