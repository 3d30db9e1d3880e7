//! Upload, list, show, remove certificates, and who gets to see them.

use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use serde_json::{Value, json};

use super::World;
use crate::model::Timestamp;

const CERTS: &str = "/v1/certs";

/// A certificate and its key, as a request; valid until 2030 unless `year` says otherwise.
fn made(names: &[&str], year: i32) -> Value {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let common = names[0].clone();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, common);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    json!({"certificate": params.self_signed(&key).unwrap().pem(), "key": key.serialize_pem()})
}

impl World {
    /// Whether a client that asks for `host` is shown that uploaded certificate.
    fn shows(&self, host: &str, upload: &Value) -> bool {
        let shown = self.certificates.find(host, Timestamp::now());
        let expect =
            crate::route::tls::certified_key(upload["certificate"].as_str().unwrap(), upload["key"].as_str().unwrap());
        shown.cert == expect.unwrap().cert
    }

    async fn upload(&self, token: &str, upload: &Value) {
        let answer = self.post(token, CERTS, upload.clone()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    async fn domain(&self, token: &str, app: &str, domain: &str) {
        let answer = self.post(token, &format!("/v1/apps/{app}/domains"), json!({"domain": domain})).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
}

#[tokio::test]
async fn certificates_are_added_listed_shown_and_removed() {
    let world = World::new().await;
    let (admin, bob) = (world.user("admin").await, world.user("bob").await);
    let empty = json!({"count": 0, "next": null, "previous": null, "results": []});
    world.get(&bob, CERTS).await.is(200, empty.clone());
    let upload = made(&["WWW.example.org"], 2030);
    let answer = world.post(&bob, CERTS, upload.clone()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let added = answer.json();
    assert_eq!(
        (&added["owner"], &added["common_name"], &added["expires"]),
        (&json!("bob"), &json!("www.example.org"), &json!("2030-01-01T00:00:00UTC"))
    );
    assert!(added["id"].is_u64() && added["created"].as_str().unwrap().ends_with("UTC"), "{added}");
    assert_eq!(added["created"], added["updated"]);
    assert_eq!(added.as_object().unwrap().len(), 6, "{added}");
    world.upload(&bob, &made(&["*.example.org"], 2030)).await;
    let list = world.get(&bob, &format!("{CERTS}/")).await.json();
    assert_eq!((&list["count"], &list["results"][0]), (&json!(2), &added));
    for path in ["www.example.org", "WWW.example.org/", "www%2eexample.org"] {
        world.get(&bob, &format!("{CERTS}/{path}")).await.is(200, added.clone());
    }
    assert_eq!(world.get(&bob, &format!("{CERTS}/*.example.org")).await.json()["common_name"], "*.example.org");
    assert_eq!(world.get(&bob, &format!("{CERTS}/%2A.example.org")).await.status, 200);

    // Other people's do not exist, for administrators neither.
    world.get(&admin, CERTS).await.is(200, empty);
    for method in ["GET", "DELETE"] {
        world.ask(&admin, method, &format!("{CERTS}/www.example.org"), "").await.is_detail(404, "Not found");
        world.ask(&bob, method, &format!("{CERTS}/a_b"), "").await.is_detail(404, "Not found");
        let nobody = world.ask("", method, &format!("{CERTS}/www.example.org"), "").await;
        nobody.is_detail(401, "Authentication credentials were not provided.");
    }
    let taken = json!({"common_name": ["This field must be unique."]});
    for token in [&admin, &bob] {
        world.post(token, CERTS, made(&["www.example.org"], 2030)).await.is(400, taken.clone());
    }
    for path in ["www.example.org", "%2A.example.org"] {
        world.delete(&bob, &format!("{CERTS}/{path}")).await.is_empty(204);
        world.delete(&bob, &format!("{CERTS}/{path}")).await.is_detail(404, "Not found");
    }
    let again = world.post(&admin, CERTS, upload).await.json();
    assert!(again["id"].as_u64() > added["id"].as_u64(), "{again}");
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_under_its_field() {
    let world = World::new().await;
    let bob = world.user("bob").await;
    let check = async |body: Value, field: &str, text: &str| {
        let answer = world.post(&bob, CERTS, body).await;
        let message = answer.json()[field][0].as_str().unwrap_or_default().to_owned();
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(message.contains(text), "{answer:?}");
    };
    let good = made(&["www.example.org", "shop.example.org"], 2030);
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let required = json!(["This field is required."]);
    world.post(&bob, CERTS, json!({})).await.is(400, json!({"certificate": required, "key": required}));
    check(with("certificate", json!("")), "certificate", "may not be blank").await;
    check(with("certificate", json!("x")), "certificate", "Could not load certificate: it is not PEM").await;
    check(with("certificate", good["key"].clone()), "certificate", "Could not load certificate: ").await;
    check(with("key", json!("x")), "key", "not a PEM private key").await;
    check(with("key", made(&["a.example.org"], 2030)["key"].clone()), "key", "does not belong to the certificate")
        .await;
    check(made(&["www.example.org"], 2021), "certificate", "expired at 2021-01-01").await;
    check(with("common_name", json!("evil.example.org")), "common_name", "is not a name of this certificate").await;
    assert_eq!(world.get(&bob, CERTS).await.json()["count"], 0);
    let named = world.post(&bob, CERTS, with("common_name", json!("shop.example.org"))).await;
    assert_eq!((named.status, &named.json()["common_name"]), (201, &json!("shop.example.org")));
    for none in [json!(null), json!("")] {
        let added = world.post(&bob, CERTS, with("common_name", none)).await;
        assert_eq!((added.status, &added.json()["common_name"]), (201, &json!("www.example.org")));
        world.delete(&bob, &format!("{CERTS}/www.example.org")).await.is_empty(204);
    }
}

#[tokio::test]
async fn what_was_uploaded_comes_out_nowhere() {
    let world = World::new().await;
    let bob = world.user("bob").await;
    let upload = made(&["www.example.org"], 2030);
    let line = |field: &str| upload[field].as_str().unwrap().lines().nth(1).unwrap().to_owned();
    let mut answers = vec![world.post(&bob, CERTS, upload.clone()).await];
    answers.push(world.post(&bob, CERTS, upload.clone()).await);
    answers.push(world.get(&bob, CERTS).await);
    answers.push(world.get(&bob, &format!("{CERTS}/www.example.org")).await);
    for answer in answers {
        for text in ["BEGIN", &line("certificate"), &line("key")] {
            assert!(!answer.text.contains(text), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn nobodys_certificate_stands_before_somebody_elses_app() {
    let world = World::new().await;
    let admin = world.user("admin").await;
    let (bob, eve) = (world.app("bob", "hello").await, world.app("eve", "evil").await);
    let (mine, evil) = (made(&["www.example.org"], 2030), made(&["*.example.org", "www.example.org"], 2040));

    // Uploaded before there is a domain, it waits.
    world.upload(&eve, &evil).await;
    world.upload(&bob, &mine).await;
    assert!(!world.shows("www.example.org", &evil) && !world.shows("www.example.org", &mine));
    world.domain(&bob, "hello", "www.example.org").await;
    assert!(world.shows("www.example.org", &mine));
    world.domain(&eve, "evil", "any.example.org").await;
    assert!(world.shows("any.example.org", &evil) && world.shows("www.example.org", &mine));

    // Who may use the app decides, from the moment on when that changes.
    let perms = "/v1/apps/hello/perms";
    assert_eq!(world.post(&bob, perms, json!({"username": "eve"})).await.status, 201);
    assert!(world.shows("www.example.org", &evil), "it lasts longer");
    assert_eq!(world.delete(&bob, &format!("{perms}/eve")).await.status, 204);
    assert!(world.shows("www.example.org", &mine));

    // Domains go and come.
    world.delete(&bob, "/v1/apps/hello/domains/www.example.org").await.is_empty(204);
    assert!(!world.shows("www.example.org", &mine));
    world.domain(&bob, "hello", "www.example.org").await;
    assert!(world.shows("www.example.org", &mine));
    world.delete(&eve, "/v1/apps/evil").await.is_empty(204);
    assert!(!world.shows("any.example.org", &evil));

    // An administrator's is shown for anything, while there is one.
    let platform = made(&["*.example.com", "*.example.org"], 2035);
    world.upload(&admin, &platform).await;
    for host in ["slipway.example.com", "hello.example.com", "any.example.org"] {
        assert!(world.shows(host, &platform), "{host}");
    }
    assert!(world.shows("www.example.org", &mine), "the exact name is closer");
    world.delete(&bob, "/v1/certs/www.example.org").await.is_empty(204);
    assert!(world.shows("www.example.org", &platform));
    world.delete(&admin, "/v1/certs/%2A.example.com").await.is_empty(204);
    assert!(!world.shows("www.example.org", &platform) && !world.shows("slipway.example.com", &platform));
}

#[tokio::test]
async fn an_account_that_is_cancelled_takes_its_certificates_along() {
    let world = World::new().await;
    world.user("admin").await;
    let (bob, carol) = (world.app("bob", "hello").await, world.user("carol").await);
    world.domain(&bob, "hello", "www.example.org").await;
    assert_eq!(world.post(&bob, "/v1/apps/hello/perms", json!({"username": "carol"})).await.status, 201);
    let upload = made(&["www.example.org"], 2030);
    world.upload(&carol, &upload).await;
    assert!(world.shows("www.example.org", &upload));
    world.delete(&carol, "/v1/auth/cancel").await.is_empty(204);
    assert!(!world.shows("www.example.org", &upload));
    world.upload(&bob, &upload).await;
    assert!(world.shows("www.example.org", &upload));
}

#[tokio::test]
async fn an_app_that_changes_hands_takes_its_domains_along() {
    let world = World::new().await;
    world.user("admin").await;
    let (bob, carol) = (world.app("bob", "hello").await, world.user("carol").await);
    world.domain(&bob, "hello", "www.example.org").await;
    let (before, after) = (made(&["www.example.org"], 2040), made(&["*.example.org"], 2030));
    world.upload(&bob, &before).await;
    world.upload(&carol, &after).await;
    assert!(world.shows("www.example.org", &before));
    assert_eq!(world.post(&bob, "/v1/apps/hello", json!({"owner": "carol"})).await.status, 200);
    assert!(world.shows("www.example.org", &after));
}
