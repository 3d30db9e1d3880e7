//! Certificates, from the API to the handshake.

use rustls::version::{TLS12, TLS13};
use serde_json::json;

use crate::support::{App, Pair, Slipway, User};

async fn add_domain(app: &App<'_>, domain: &str) {
    app.post("/domains", &json!({ "domain": domain })).await.expect(201);
}

async fn upload(user: &User<'_>, pair: &Pair) {
    let added = user.post("/certs", &pair.upload()).await.expect(201);
    for text in ["BEGIN", pair.key.lines().nth(1).expect("a key"), pair.certificate.lines().nth(1).expect("lines")] {
        assert!(!added.text.contains(text), "{}", added.text);
    }
}

/// Whether that certificate is shown to clients of either version that ask for `host`.
async fn is_shown(server: &Slipway, host: &str, pair: &Pair) -> bool {
    let (old, new) = (server.shown(host, &TLS12).await.is(pair), server.shown(host, &TLS13).await.is(pair));
    assert_eq!(old, new, "{host}: the versions of TLS differ");
    old
}

#[tokio::test]
async fn a_certificate_is_served_from_upload_to_removal_and_through_restarts() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    add_domain(&app, "www.example.com").await;
    let (exact, wildcard) = (Pair::of(&["www.example.com"]), Pair::of(&["*.example.com", "example.com"]));
    assert!(!is_shown(&server, "www.example.com", &exact).await);
    upload(&owner, &wildcard).await;
    assert!(is_shown(&server, "www.example.com", &wildcard).await);
    upload(&owner, &exact).await;
    assert!(is_shown(&server, "www.example.com", &exact).await);
    let shown = server.shown("www.example.com", &TLS13).await;
    assert!(shown.answer.starts_with("HTTP/1.1 200 ") && shown.answer.contains(&app.name), "{}", shown.answer);

    // A domain that comes later than the certificate, and a wildcard domain.
    assert!(!is_shown(&server, "example.com", &wildcard).await);
    add_domain(&app, "example.com").await;
    assert!(is_shown(&server, "example.com", &wildcard).await);
    assert!(!is_shown(&server, "any.example.com", &wildcard).await);
    add_domain(&app, "*.example.com").await;
    assert!(is_shown(&server, "any.example.com", &wildcard).await);
    assert!(!is_shown(&server, "a.any.example.com", &wildcard).await, "a wildcard is one label");

    server.stop().await;
    server.restart().await;
    server.kill9().await;
    server.restart().await;
    assert!(is_shown(&server, "www.example.com", &exact).await);
    assert!(is_shown(&server, "any.example.com", &wildcard).await);

    let list = owner.get("/certs").await.expect(200).json();
    assert_eq!((&list["count"], &list["results"][1]["common_name"]), (&json!(2), &json!("www.example.com")));
    assert!(list["results"][0]["expires"].as_str().is_some_and(|text| text.ends_with("UTC")), "{list}");
    owner.delete("/certs/www.example.com").await.expect(204);
    assert!(is_shown(&server, "www.example.com", &wildcard).await);
    owner.delete(&app.path("/domains/www.example.com")).await.expect(204);
    assert!(is_shown(&server, "www.example.com", &wildcard).await, "by the wildcard domain");
    owner.delete(&app.path("/domains/*.example.com")).await.expect(204);
    assert!(!is_shown(&server, "www.example.com", &wildcard).await);
    owner.delete("/certs/%2A.example.com").await.expect(204);
    assert!(!is_shown(&server, "example.com", &wildcard).await);

    // Keys lie sealed in the database and come out nowhere.
    let key = exact.key.lines().nth(1).expect("a key");
    upload(&owner, &exact).await;
    assert!(!server.log().contains(key));
    for entry in std::fs::read_dir(server.data_dir()).expect("it is there").filter_map(Result::ok) {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        assert!(!bytes.windows(key.len()).any(|window| window == key.as_bytes()), "{:?}", entry.path());
    }
}

#[tokio::test]
async fn nobody_stands_before_another_tenants_site() {
    let server = Slipway::start().await;
    let admin = server.admin().await;
    let owner = User::register(&server, "owner", crate::support::KeyKind::Ed25519).await;
    let stranger = server.stranger().await;
    let (app, theirs) = (owner.create("web").await, stranger.create("evil").await);
    add_domain(&app, "www.example.com").await;
    add_domain(&theirs, "evil.example.com").await;
    let (mine, evil) = (Pair::of(&["www.example.com"]), Pair::of(&["*.example.com", "slipway.localhost"]));
    upload(&stranger, &evil).await;
    upload(&owner, &mine).await;
    assert!(is_shown(&server, "www.example.com", &mine).await);
    assert!(is_shown(&server, "evil.example.com", &evil).await);
    owner.delete("/certs/www.example.com").await.expect(204);
    for host in ["www.example.com", "slipway.localhost", "other.example.com"] {
        assert!(!is_shown(&server, host, &evil).await, "{host}");
    }
    // A collaborator may; and may not any more.
    app.post("/perms", &json!({ "username": "stranger" })).await.expect(201);
    assert!(is_shown(&server, "www.example.com", &evil).await);
    owner.delete(&app.path("/perms/stranger")).await.expect(204);
    assert!(!is_shown(&server, "www.example.com", &evil).await);

    // The administrator's stands for the platform itself and for who has none.
    let platform = Pair::of(&["*.localhost", "www.example.com"]);
    upload(&admin, &platform).await;
    for host in ["slipway.localhost", &format!("{}.localhost", app.name), "www.example.com"] {
        assert!(is_shown(&server, host, &platform).await, "{host}");
    }
    upload(&owner, &mine).await;
    stranger.get("/certs/www.example.com").await.expect(404);
    admin.delete("/certs/www.example.com").await.expect(404);
    let taken = stranger.post("/certs", &mine.upload()).await.expect(400);
    assert_eq!(taken.json(), json!({"common_name": ["This field must be unique."]}));
    let mut foreign = mine.upload();
    foreign["key"] = json!(evil.key);
    let refused = owner.post("/certs", &foreign).await.expect(400);
    assert_eq!(refused.json(), json!({"key": ["This key does not belong to the certificate."]}));

    // The end of an app and of an account are the end of what they had.
    stranger.delete(&theirs.path("")).await.expect(204);
    assert!(!is_shown(&server, "evil.example.com", &evil).await);
    admin.delete("/certs/%2A.localhost").await.expect(204);
    assert!(is_shown(&server, "www.example.com", &mine).await);
    owner.delete("/auth/cancel").await.expect(204);
    assert!(!is_shown(&server, "www.example.com", &mine).await);
}
