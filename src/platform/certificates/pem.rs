//! What an upload holds: a certificate chain and its key in PEM, checked until nothing is left that a handshake could
//! stumble over.

use std::collections::BTreeSet;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::super::Error;
use crate::model::{CertificateName, Timestamp};

/// Most certificates in a chain; real ones have two to four.
const CHAIN_MAX: usize = 10;

/// A certificate that can be served.
pub struct Usable {
    /// Chain and key, as TLS takes them.
    pub key: CertifiedKey,
    /// What it is made out to: the host names among its alternative names and its common name. At least one.
    pub names: BTreeSet<CertificateName>,
    /// The one that it is called by: its common name, else the first of its alternative names.
    pub common_name: CertificateName,
    /// The beginning of its validity.
    pub begins_at: Timestamp,
    /// The end of its validity.
    pub expires_at: Timestamp,
}

/// Reads a chain, leaf first, and the key of its leaf: PKCS#8, PKCS#1 or SEC1; RSA, ECDSA or Ed25519. Whether it is valid
/// today is not looked at.
///
/// # Errors
/// [`Error::Invalid`] with field `certificate` or `key` says what is wrong.
pub fn read(certificate: &str, key: &str) -> Result<Usable, Error> {
    let chain = chain(certificate)?;
    let signing_key = {
        let key = private_key(key)?;
        let loaded = aws_lc_rs::default_provider().key_provider.load_private_key(key);
        loaded.map_err(|_| {
            bad_key(
                "This key is damaged or of a type that is not taken; use RSA of 2048 bits or more, ECDSA or Ed25519.",
            )
        })?
    };
    let parsed = chain.iter().map(|der| parse(der)).collect::<Result<Vec<_>, _>>()?;
    let public = signing_key
        .public_key()
        .ok_or_else(|| bad_key("Keys of this type are not taken; use RSA, ECDSA or Ed25519."))?;
    let is_of_key = |certificate: &X509Certificate<'_>| certificate.public_key().raw == public.as_ref();
    let leaf = &parsed[0];
    if !is_of_key(leaf) {
        return Err(if parsed.iter().any(is_of_key) {
            bad_certificate("The certificate of the key has to come first, then the one that signed it, and so on.")
        } else {
            bad_key("This key does not belong to the certificate.")
        });
    }
    for (position, pair) in (2..).zip(parsed.windows(2)) {
        if pair[0].issuer().as_raw() != pair[1].subject().as_raw() {
            return Err(bad_certificate(format!(
                "The chain is out of order: certificate {position} is not that of the issuer of the one before it."
            )));
        }
    }
    let (names, common_name) = names(leaf)?;
    let at = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1000));
    let (begins_at, expires_at) =
        (at(leaf.validity().not_before.timestamp()), at(leaf.validity().not_after.timestamp()));
    drop(parsed);
    Ok(Usable { key: CertifiedKey::new(chain, signing_key), names, common_name, begins_at, expires_at })
}

fn bad_certificate(message: impl Into<String>) -> Error {
    Error::Invalid { field: "certificate", message: message.into() }
}

fn bad_key(message: impl Into<String>) -> Error {
    Error::Invalid { field: "key", message: message.into() }
}

/// The certificates of a PEM text. Other sections and what lies between them do not count.
fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unreadable = |why: &str| bad_certificate(format!("Could not load certificate: {why}"));
    if !pem.contains("-----BEGIN ") {
        return Err(unreadable("it is not PEM, which begins with -----BEGIN CERTIFICATE-----"));
    }
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| unreadable("the PEM is damaged or cut off"))?;
    match chain.len() {
        0 => Err(unreadable("the PEM holds no certificate")),
        1..=CHAIN_MAX => Ok(chain),
        count => Err(unreadable(&format!("the chain has {count} certificates, and at most {CHAIN_MAX} are taken"))),
    }
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(bad_certificate("Could not load certificate: a section of the PEM is not an X.509 certificate")),
    }
}

/// The key of a PEM text.
fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, Error> {
    if !pem.contains("-----BEGIN ") {
        return Err(bad_key("This is not a PEM private key, which begins with -----BEGIN PRIVATE KEY-----."));
    }
    if pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || pem.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(bad_key("This key is encrypted; decrypt it first, for example with: openssl pkey -in FILE"));
    }
    let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let sections = sections.map_err(|_| bad_key("The PEM of this key is damaged or cut off."))?;
    let mut keys = sections.into_iter().filter_map(|(kind, der)| PrivateKeyDer::from_pem(kind, der));
    match (keys.next(), keys.next()) {
        (Some(key), None) => Ok(key),
        (None, _) => Err(bad_key("The PEM holds no private key.")),
        (Some(_), Some(_)) => Err(bad_key("The PEM holds more than one private key.")),
    }
}

/// What a certificate is made out to, and what it is called by.
fn names(leaf: &X509Certificate<'_>) -> Result<(BTreeSet<CertificateName>, CertificateName), Error> {
    let common = leaf.subject().iter_common_name().find_map(|name| name.as_str().ok()?.parse::<CertificateName>().ok());
    let extension = leaf.subject_alternative_name();
    let extension = extension.map_err(|_| bad_certificate("Its alternative names cannot be read."))?;
    let alternative = extension.iter().flat_map(|extension| &extension.value.general_names);
    let alternative: Vec<CertificateName> = alternative
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => name.parse().ok(),
            _ => None,
        })
        .collect();
    let called = common.clone().or_else(|| alternative.first().cloned()).ok_or_else(|| {
        bad_certificate(
            "It names no host: neither its common name nor an alternative name is one, as in www.example.com.",
        )
    })?;
    Ok((alternative.into_iter().chain(common).collect(), called))
}
