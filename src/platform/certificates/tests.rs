//! What is taken as a certificate, and who is shown which.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    CertificateParams, CertifiedIssuer, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    PKCS_RSA_SHA256, date_time_ymd,
};

use super::choose::{Domains, Holding, choose};
use super::*;
use crate::model::{AppId, DomainName, UserId};
use crate::route::{Shown, tls};

fn params(common: Option<&str>, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    if let Some(common) = common {
        params.distinguished_name.push(DnType::CommonName, common);
    }
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2050, 1, 1);
    params
}

/// A certificate that signs itself, and its key.
fn made(common: Option<&str>, names: &[&str]) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    (params(common, names).self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    CertifiedIssuer::self_signed(params(Some(name), &[]), KeyPair::generate().unwrap()).unwrap()
}

#[track_caller]
fn refused(certificate: &str, key: &str, field: &str, text: &str) {
    match pem::read(certificate, key) {
        Err(Error::Invalid { field: found, message }) => {
            assert_eq!(found, field, "{message}");
            assert!(message.contains(text), "{message}");
            assert!(!message.contains("BEGIN CERTIFICATE-----\n"), "{message}");
        }
        Err(other) => panic!("{other:?}"),
        Ok(usable) => panic!("taken as {}", usable.common_name),
    }
}

#[test]
fn texts_that_are_no_certificate_are_told_apart() {
    let (good, key) = made(Some("www.example.org"), &[]);
    let check = |certificate: &str, text: &str| refused(certificate, &key, "certificate", text);
    check("x", "Could not load certificate: it is not PEM");
    check("\u{0}", "it is not PEM");
    check(&good[..good.len() / 2], "Could not load certificate: the PEM is damaged or cut off");
    check(&good.replacen('M', "!", 20), "the PEM is damaged or cut off");
    check(&key, "Could not load certificate: the PEM holds no certificate");
    check("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "is not an X.509 certificate");
    check(&good.repeat(11), "the chain has 11 certificates, and at most 10 are taken");
    assert!(pem::read(&format!("\n  a comment\n{good}"), &key).is_ok());
    assert!(pem::read(&good.replace('\n', "\r\n"), &key.replace('\n', "\r\n")).is_ok());
    assert!(pem::read(good.trim(), key.trim()).is_ok(), "clients strip what surrounds a file");
}

#[test]
fn texts_that_are_not_the_key_are_told_apart() {
    let (good, key) = made(Some("www.example.org"), &[]);
    let check = |key: &str, text: &str| refused(&good, key, "key", text);
    check("x", "not a PEM private key");
    check(&good, "The PEM holds no private key");
    check(&key[..key.len() / 2], "damaged or cut off");
    check("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "damaged or of a type that is not taken");
    check(&format!("{key}{key}"), "more than one private key");
    check(&key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), "This key is encrypted; decrypt it first");
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA \
               PRIVATE KEY-----\n";
    check(old, "This key is encrypted");
    check(&made(None, &["www.example.org"]).1, "This key does not belong to the certificate");
}

/// What is inside the `OCTET STRING` of a PKCS#8 key: PKCS#1 for RSA, SEC1 for ECDSA.
fn inner(pkcs8: &[u8]) -> &[u8] {
    fn element(der: &[u8]) -> (&[u8], &[u8]) {
        let (head, length) = match der[1] {
            short @ 0..0x80 => (2, usize::from(short)),
            long => {
                let head = 2 + usize::from(long & 0x7f);
                (head, der[2..head].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
            }
        };
        (&der[head..head + length], &der[head + length..])
    }
    let (sequence, _) = element(pkcs8);
    let (_, after_version) = element(sequence);
    let (_, after_algorithm) = element(after_version);
    element(after_algorithm).0
}

#[test]
fn keys_of_every_taken_kind_and_form() {
    let kinds = [&PKCS_RSA_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519, &rcgen::PKCS_ECDSA_P256_SHA256];
    for (kind, label) in
        kinds.into_iter().zip([Some("RSA PRIVATE KEY"), Some("EC PRIVATE KEY"), None, Some("EC PRIVATE KEY")])
    {
        let key = KeyPair::generate_for(kind).unwrap();
        let certificate = params(Some("www.example.org"), &[]).self_signed(&key).unwrap().pem();
        assert!(pem::read(&certificate, &key.serialize_pem()).is_ok(), "{kind:?}");
        if let Some(label) = label {
            let text = STANDARD.encode(inner(key.serialized_der()));
            let old = format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n");
            assert!(pem::read(&certificate, &old).is_ok(), "{kind:?} as {label}");
        }
    }
}

#[test]
fn a_chain_runs_from_the_leaf_to_its_issuers() {
    let (root, other) = (authority("Example Root"), authority("Other Root"));
    let middle =
        CertifiedIssuer::signed_by(params(Some("Example Middle"), &[]), KeyPair::generate().unwrap(), &root).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = params(None, &["www.example.org"]).signed_by(&key, &middle).unwrap().pem();
    let (root, middle, other) = (root.as_ref().pem(), middle.as_ref().pem(), other.as_ref().pem());
    let key = key.serialize_pem();
    for good in [leaf.clone(), format!("{leaf}{middle}"), format!("{leaf}{middle}{root}")] {
        let usable = pem::read(&good, &key).unwrap();
        let again: String = usable.key.cert.iter().map(to_pem).collect();
        assert_eq!(pem::read(&again, &key).unwrap().key.cert, usable.key.cert);
    }
    refused(&format!("{middle}{leaf}"), &key, "certificate", "The certificate of the key has to come first");
    let out_of_order = |position: usize| format!("out of order: certificate {position} is not that of the issuer");
    refused(&format!("{leaf}{root}"), &key, "certificate", &out_of_order(2));
    refused(&format!("{leaf}{middle}{other}"), &key, "certificate", &out_of_order(3));
    refused(&format!("{leaf}{leaf}"), &key, "certificate", &out_of_order(2));
    refused(&middle, &key, "key", "does not belong");
}

#[test]
fn names_come_from_the_common_name_and_the_alternative_names() {
    let check = |common: Option<&str>, names: &[&str], called: &str, all: &[&str]| {
        let (certificate, key) = made(common, names);
        let usable = pem::read(&certificate, &key).unwrap();
        assert_eq!(usable.common_name.as_str(), called);
        assert_eq!(usable.names.iter().map(CertificateName::as_str).collect::<Vec<_>>(), all);
    };
    check(Some("WWW.example.org"), &[], "www.example.org", &["www.example.org"]);
    check(None, &["b.example.org", "A.example.org"], "b.example.org", &["a.example.org", "b.example.org"]);
    check(Some("*.example.org"), &["example.org"], "*.example.org", &["*.example.org", "example.org"]);
    check(Some("Example Org"), &["*.example.org", "127.0.0.1"], "*.example.org", &["*.example.org"]);
    check(Some("localhost"), &[], "localhost", &["localhost"]);
    for (common, names) in [(None, &[][..]), (Some("Example Org"), &["127.0.0.1"]), (Some("a_b.example.org"), &[])] {
        let (certificate, key) = made(common, names);
        refused(&certificate, &key, "certificate", "It names no host");
    }
}

#[test]
fn a_certificate_is_called_by_one_of_its_names() {
    let (certificate, key) = made(Some("www.example.org"), &["shop.example.org", "*.example.org"]);
    let usable = pem::read(&certificate, &key).unwrap();
    let check = |wanted: Option<&str>, expect: Option<&str>| match (common_name(&usable, wanted), expect) {
        (Ok(name), expect) => assert_eq!(Some(name.as_str()), expect),
        (Err(error), None) => {
            assert!(error.to_string().contains("it has: *.example.org, shop.example.org, www."), "{error}")
        }
        (Err(error), Some(_)) => panic!("{error}"),
    };
    check(None, Some("www.example.org"));
    check(Some("Shop.Example.org"), Some("shop.example.org"));
    check(Some("*.example.org"), Some("*.example.org"));
    check(Some("any.example.org"), None);
    check(Some("my certificate"), None);
}

#[test]
fn a_certificate_has_to_be_valid_today() {
    let (certificate, key) = made(Some("www.example.org"), &[]);
    let usable = pem::read(&certificate, &key).unwrap();
    let (begin, end) = (usable.begins_at.millis(), usable.expires_at.millis());
    let check = |now: i64, expect: &str| {
        let text = check_validity(&usable, Timestamp::from_millis(now)).err().map(|error| error.to_string());
        assert_eq!(text.unwrap_or_default(), expect, "{now}");
    };
    check(begin, "");
    check(end - 1, "");
    check(end, "This certificate expired at 2050-01-01T00:00:00.000Z.");
    check(begin - 1, "This certificate is not valid before 2020-01-01T00:00:00.000Z.");
}

/// A world of apps and people to choose in.
struct Case {
    apps: Vec<(DomainName, AppId)>,
    users: Vec<(AppId, UserId)>,
    holdings: Vec<Holding>,
    key: Arc<rustls::sign::CertifiedKey>,
}

impl Case {
    fn new() -> Self {
        let (certificate, key) = tls::self_signed("test").unwrap();
        let key = Arc::new(tls::certified_key(&certificate, &key).unwrap());
        Self { apps: vec![], users: vec![], holdings: vec![], key }
    }

    fn domain(&mut self, name: &str, app: AppId, users: &[UserId]) {
        self.apps.push((name.parse().unwrap(), app));
        self.users.extend(users.iter().map(|user| (app, *user)));
    }

    /// `expires` tells it from others.
    fn holds(&mut self, owner: UserId, is_administrators: bool, names: &[&str], expires: i64) {
        let servable = Arc::new(Servable { expires_at: Timestamp::from_millis(expires), key: Arc::clone(&self.key) });
        let names = names.iter().map(|name| name.parse().unwrap()).collect();
        self.holdings.push(Holding { servable, names, owner, is_administrators });
    }

    /// What a client that asks for `host` may be shown, best first.
    #[track_caller]
    fn shows(&self, host: &str, expect: &[i64]) {
        let domains = Domains::new("apps.test", self.apps.clone(), self.users.clone());
        let Shown { exact, wildcards } = choose(&domains, &self.holdings);
        let found = exact.get(host).or_else(|| wildcards.get(host.split_once('.')?.1));
        let found = found.into_iter().flatten().map(|servable| servable.expires_at.millis()).collect::<Vec<_>>();
        assert_eq!(found, expect, "{host}");
    }
}

#[test]
fn certificates_are_shown_for_domains_that_their_owner_may_use() {
    let (bob, carol, eve) = (UserId::new(), UserId::new(), UserId::new());
    let mut case = Case::new();
    case.domain("www.example.org", AppId::new(), &[bob, carol]);
    case.domain("other.example.org", AppId::new(), &[eve]);
    case.holds(eve, false, &["www.example.org", "*.example.org"], 9);
    case.shows("www.example.org", &[]);
    case.shows("other.example.org", &[9]);
    case.shows("any.example.org", &[]);
    case.holds(bob, false, &["www.example.org"], 5);
    case.holds(carol, false, &["*.example.org"], 7);
    case.holds(carol, false, &["www.example.org"], 6);
    case.shows("www.example.org", &[6, 5, 7]);
    case.shows("other.example.org", &[9]);
    case.shows("a.www.example.org", &[]);
    case.shows("example.org", &[]);
    case.users.retain(|(_, user)| *user != carol);
    case.shows("www.example.org", &[5]);
    case.apps.clear();
    case.shows("www.example.org", &[]);
}

#[test]
fn a_wildcard_domain_is_its_apps_but_for_names_that_others_have() {
    let (bob, eve) = (UserId::new(), UserId::new());
    let mut case = Case::new();
    case.domain("*.example.org", AppId::new(), &[bob]);
    case.domain("eve.example.org", AppId::new(), &[eve]);
    case.holds(bob, false, &["*.example.org"], 5);
    case.shows("any.example.org", &[5]);
    case.shows("eve.example.org", &[]);
    case.holds(eve, false, &["*.example.org", "www.example.org"], 9);
    case.shows("any.example.org", &[5]);
    case.shows("www.example.org", &[5]);
    case.shows("eve.example.org", &[9]);
    case.holds(bob, false, &["www.example.org"], 4);
    case.shows("www.example.org", &[4, 5]);
}

#[test]
fn an_administrators_certificates_are_shown_for_every_name() {
    let (admin, bob) = (UserId::new(), UserId::new());
    let mut case = Case::new();
    case.domain("www.example.org", AppId::new(), &[bob]);
    // Left from a time when the platform had another domain.
    case.domain("old.apps.test", AppId::new(), &[bob]);
    case.holds(admin, true, &["*.apps.test", "www.example.org"], 3);
    case.holds(bob, false, &["www.example.org"], 2);
    case.holds(bob, false, &["old.apps.test", "slipway.apps.test"], 9);
    case.shows("www.example.org", &[3, 2]);
    case.shows("slipway.apps.test", &[3]);
    case.shows("old.apps.test", &[3]);
    case.shows("any.apps.test", &[3]);
}
