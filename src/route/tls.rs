//! TLS of the router: a certificate of its own making, and how certificates are served.

use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::certificates::Certificates;
use super::challenges::TLS_PROTOCOL;

/// Why TLS cannot be served with what was given.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate could be made for the domain.
    #[error("cannot make a certificate for '{domain}'; the domain must be a plain DNS name")]
    Generate {
        /// The domain that was asked for.
        domain: String,
        /// What is wrong with it.
        source: rcgen::Error,
    },
    /// The text is not what it should be.
    #[error("the {what} is not valid PEM; remove the file to have a new one made")]
    Pem {
        /// `certificate` or `private key`.
        what: &'static str,
        /// What is wrong with it.
        source: rustls::pki_types::pem::Error,
    },
    /// Certificate and key do not work together.
    #[error("the certificate and the private key cannot be used together; remove both files to have new ones made")]
    Unusable {
        /// What is wrong with them.
        source: rustls::Error,
    },
}

/// Makes a self-signed certificate for `domain` and `*.domain`: (certificate, private key), both PEM.
///
/// Clients do not trust it. It is valid far longer than any real one, since nothing would renew it; store both, so that
/// whoever has decided to trust it need not do so again after a restart.
///
/// # Errors
/// [`TlsError::Generate`] when `domain` is not a DNS name.
pub fn self_signed(domain: &str) -> Result<(String, String), TlsError> {
    let failed = |source| TlsError::Generate { domain: domain.to_owned(), source };
    let mut params = CertificateParams::new(vec![domain.to_owned(), format!("*.{domain}")]).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, domain);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Certificate (the leaf first, then its chain) and key, as they are shown in a handshake.
///
/// # Errors
/// [`TlsError::Pem`] and [`TlsError::Unusable`] say which part is wrong.
pub fn certified_key(certificate_pem: &str, key_pem: &str) -> Result<CertifiedKey, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsError::Pem { what: "certificate", source })?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
        .map_err(|source| TlsError::Pem { what: "private key", source })?;
    let unusable = |source| TlsError::Unusable { source };
    CertifiedKey::from_der(certificates, key, &aws_lc_rs::default_provider()).map_err(unusable)
}

/// The certificate that answers a TLS-ALPN-01 challenge for `name`; `digest` is the SHA-256 of its key authorization (RFC
/// 8737 §3).
///
/// # Errors
/// [`TlsError::Generate`] when `name` is not a DNS name.
pub fn challenge_certificate(name: &str, digest: &[u8]) -> Result<CertifiedKey, TlsError> {
    let failed = |source| TlsError::Generate { domain: name.to_owned(), source };
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let key = aws_lc_rs::default_provider().key_provider.load_private_key(key.into());
    // Without the look at whether both fit: the library stumbles over the extension, which is critical.
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key.map_err(|source| TlsError::Unusable { source })?))
}

/// A server that shows these certificates, whatever they are at each handshake, speaks TLS 1.2 and 1.3 and offers HTTP/2
/// and HTTP/1.1, and to authorities their challenges.
pub fn server_config(certificates: Certificates) -> Arc<ServerConfig> {
    // Named here because two crypto providers are in the program and rustls picks none by itself then.
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has what both versions need")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), TLS_PROTOCOL.to_vec()];
    Arc::new(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_made_here_can_be_served_and_any_other_text_is_refused() {
        let (certificate, key) = self_signed("localhost").expect("a certificate");
        assert!(certified_key(&certificate, &key).is_ok());
        let (other, _) = self_signed("localhost").expect("a certificate");
        assert!(matches!(certified_key(&other, &key), Err(TlsError::Unusable { .. })));
        assert!(matches!(certified_key("x", &key), Err(TlsError::Unusable { .. } | TlsError::Pem { .. })));
        assert!(matches!(certified_key(&certificate, "x"), Err(TlsError::Pem { what: "private key", .. })));
        assert!(matches!(self_signed("\u{e9}"), Err(TlsError::Generate { .. })));
        assert!(challenge_certificate("www.example.com", &[7; 32]).is_ok());
    }
}
