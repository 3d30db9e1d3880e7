//! Custom domains, from the API to the router.

use serde_json::{Value, json};

use crate::support::{App, Slipway, raw_request};

/// What answers at `host`: the name of the app that the sample app knows itself by, or the status of a refusal.
async fn answers(server: &Slipway, host: &str) -> Result<String, u16> {
    let (head, body) = raw_request(server.addresses().http, &format!("GET / HTTP/1.1\r\nHost: {host}"), "").await;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{head}"));
    if status != 200 {
        return Err(status);
    }
    let page = &body[body.find('{').expect("a page")..=body.rfind('}').expect("a page")];
    let page: Value = serde_json::from_str(page).unwrap_or_else(|error| panic!("{error}: {body}"));
    Ok(page["app"].as_str().unwrap_or_else(|| panic!("no app in {page}")).to_owned())
}

async fn add(app: &App<'_>, domain: &str) {
    let added = app.post("/domains", &json!({ "domain": domain })).await.expect(201);
    assert_eq!(added.json()["app"], app.name.as_str());
}

#[tokio::test]
async fn domains_are_served_from_the_moment_they_are_added_until_they_are_removed() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (first, repo) = owner.serving("docker-web").await;
    let (second, other) = (owner.create("second").await, Err(404));
    second.push(&repo).await.succeeded();
    let is = |app: &App<'_>| Ok(app.name.clone());
    assert_eq!(answers(&server, "www.example.com").await, other);

    add(&first, "WWW.Example.com").await;
    for host in ["www.example.com", "WWW.EXAMPLE.COM", "www.example.com.", "www.example.com:8080"] {
        assert_eq!(answers(&server, host).await, is(&first), "{host}");
    }
    assert_eq!(answers(&server, &format!("{}.localhost", first.name)).await, is(&first), "its own name stays");
    assert_eq!(answers(&server, "example.com").await, other);

    // A wildcard takes what nobody has by itself, one label deep.
    add(&second, "*.example.com").await;
    assert_eq!(answers(&server, "www.example.com").await, is(&first));
    assert_eq!(answers(&server, "any.example.com").await, is(&second));
    for host in ["example.com", "a.b.example.com", "xexample.com"] {
        assert_eq!(answers(&server, host).await, other, "{host}");
    }
    let listed = second.get("/domains").await;
    assert_eq!((&listed["count"], &listed["results"][0]["domain"]), (&json!(1), &json!("*.example.com")));

    // A release, a restart and a crash keep them.
    first.set(&json!({ "A": "1" })).await;
    assert_eq!(answers(&server, "www.example.com").await, is(&first));
    server.stop().await;
    server.restart().await;
    server.kill9().await;
    server.restart().await;
    assert_eq!(answers(&server, "www.example.com").await, is(&first));
    assert_eq!(answers(&server, "any.example.com").await, is(&second));

    // Removed is unknown at once, and free for another app.
    let taken = second.post("/domains", &json!({ "domain": "www.example.com" })).await.expect(400);
    assert_eq!(taken.json(), json!({"domain": ["This field must be unique."]}));
    owner.delete(&first.path("/domains/WWW.example.com")).await.expect(204);
    assert_eq!(answers(&server, "www.example.com").await, is(&second), "by its wildcard");
    owner.delete(&second.path("/domains/%2A.example.com")).await.expect(204);
    for host in ["www.example.com", "any.example.com"] {
        assert_eq!(answers(&server, host).await, other, "{host}");
    }
    add(&second, "www.example.com").await;
    assert_eq!(answers(&server, "www.example.com").await, is(&second));
    let log = first.logs().await.join("\n");
    for text in ["domain www.example.com added", "domain www.example.com removed"] {
        assert!(log.contains(text), "{text}: {log}");
    }

    // A destroyed app's domains are free; an app that runs nothing answers 503 at its own.
    owner.delete(&second.path("")).await.expect(204);
    assert_eq!(answers(&server, "www.example.com").await, other);
    add(&first, "www.example.com").await;
    assert_eq!(answers(&server, "www.example.com").await, is(&first));
    first.scale(&json!({ "cmd": 0 })).await;
    assert_eq!(answers(&server, "www.example.com").await, Err(503));
}

#[tokio::test]
async fn nobody_gets_hold_of_names_that_are_not_theirs() {
    let server = Slipway::start().await;
    let (owner, stranger) = (server.owner().await, server.stranger().await);
    let (app, theirs) = (owner.create("web").await, stranger.create("evil").await);
    let path = app.path("/domains");
    add(&app, "www.example.com").await;
    stranger.post(&path, &json!({ "domain": "evil.example.com" })).await.expect(404);
    stranger.delete(&format!("{path}/www.example.com")).await.expect(404);
    let taken = theirs.post("/domains", &json!({ "domain": "Www.Example.Com." })).await.expect(400);
    assert_eq!(taken.json(), json!({"domain": ["This field must be unique."]}));
    for name in ["slipway.localhost", "x.slipway.localhost", "*.web.localhost", &format!("{}.localhost", app.name)] {
        let refused = theirs.post("/domains", &json!({ "domain": name })).await.expect(400);
        assert!(refused.text.contains("a name of the platform itself"), "{name}: {}", refused.text);
    }
    let missing = owner.get(&format!("{path}/www.example.com")).await.expect(405);
    assert_eq!(missing.header("Allow"), "DELETE, OPTIONS");
    assert_eq!(owner.delete(&format!("{path}/other.example.com")).await.line(), "404 NOT FOUND");
}
