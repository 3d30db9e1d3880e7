//! Add, list, remove domains.

use serde_json::{Value, json};

use super::World;
use crate::store::{apps, collaborators, users};

const DOMAINS: &str = "/v1/apps/hello/domains";

/// Lets `user` work with `app`.
async fn share(world: &World, app: &str, user: &str) {
    let pool = world.store.pool();
    let app = apps::by_name(pool, app).await.unwrap().unwrap();
    let user = users::by_name(pool, user).await.unwrap().unwrap();
    collaborators::insert(pool, app.id, user.id).await.unwrap();
}

#[tokio::test]
async fn domains_are_added_listed_in_order_and_removed() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    world.get(&token, DOMAINS).await.is(200, json!({"count": 0, "next": null, "previous": null, "results": []}));
    let added = world.post(&token, DOMAINS, json!({"domain": "www.example.org"})).await;
    assert_eq!(added.status, 201, "{added:?}");
    let domain = added.json();
    assert_eq!(
        (&domain["app"], &domain["domain"], &domain["owner"]),
        (&json!("hello"), &json!("www.example.org"), &json!("bob"))
    );
    assert!(domain["created"].as_str().unwrap().ends_with("UTC"));
    assert_eq!(domain["created"], domain["updated"]);
    assert_eq!(domain.as_object().unwrap().len(), 5, "{domain}");
    for (given, kept) in [
        ("An.Example.ORG", "an.example.org"),
        ("*.Example.org.", "*.example.org"),
        ("https://Bücher.example/", "xn--bcher-kva.example"),
    ] {
        let added = world.post(&token, DOMAINS, json!({"domain": given})).await;
        assert_eq!((added.status, &added.json()["domain"]), (201, &json!(kept)));
    }
    let names = async || {
        let list = world.get(&token, DOMAINS).await.json();
        list["results"].as_array().unwrap().iter().map(|d| d["domain"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["www.example.org", "an.example.org", "*.example.org", "xn--bcher-kva.example"]);
    assert_eq!(world.get(&token, &format!("{DOMAINS}/?page=1")).await.json()["results"][0], domain);
    for path in ["WWW.Example.org", "http:%2F%2F%61n.example.org.%2f", "*.example.org/", "%20b%C3%BCcher.example"] {
        world.delete(&token, &format!("{DOMAINS}/{path}")).await.is_empty(204);
        world.delete(&token, &format!("{DOMAINS}/{path}")).await.is_detail(404, "Not found");
    }
    assert_eq!(names().await, [""; 0]);
    world.post(&token, DOMAINS, json!({"domain": "*.example.org"})).await;
    world.delete(&token, &format!("{DOMAINS}/%2A.example.org")).await.is_empty(204);
    let logs = world.get(&token, "/v1/apps/hello/logs").await.json();
    for text in ["domain an.example.org added", "domain an.example.org removed", "domain *.example.org added"] {
        assert!(logs.as_str().unwrap().contains(text), "{text}: {logs}");
    }
    assert_eq!(world.get(&token, "/v1/apps/hello/releases").await.json()["count"], 1, "no release is cut");
}

#[tokio::test]
async fn bad_domains_get_the_texts_of_deis() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    let check = async |domain: Value, expect: &[&str]| {
        world.post(&token, DOMAINS, json!({"domain": domain})).await.is(400, json!({"domain": expect}));
    };
    let invalid = "Hostname does not look valid.";
    world.post(&token, DOMAINS, json!({})).await.is(400, json!({"domain": ["This field is required."]}));
    check(json!(""), &["This field may not be blank."]).await;
    check(json!(null), &["This field may not be null."]).await;
    check(json!(["a.example.org"]), &["Not a valid string."]).await;
    let labels = "A domain is made of labels of letters, digits and hyphens, as in www.example.com.";
    check(json!("-a.example.org"), &[invalid, labels]).await;
    check(json!("a..example.org"), &[invalid, labels]).await;
    check(json!("https://a.example.org/shop"), &[invalid, "A domain has no path: write a.example.org."]).await;
    check(json!("a.example.org:8080"), &[invalid, "A domain has no port: write a.example.org."]).await;
    let underscore = "A host name has no underscores: take a name with a hyphen instead, as in my-shop.example.com.";
    check(json!("a_b.example.org"), &[invalid, underscore]).await;
    check(json!("localhost"), &[invalid, "A domain has at least two labels, as in www.example.com."]).await;
    check(json!("127.0.0.1"), &[invalid, "An IP address cannot be a domain."]).await;
    check(json!("a.*.example.org"), &[invalid, "A wildcard is a whole first label, as in *.example.com."]).await;
    check(json!(format!("{}.org", "a.".repeat(130))), &["Hostname must be 255 characters or less."]).await;
    for name in ["example.com", "other.example.com", "A.B.Example.com.", "*.example.com"] {
        let answer = world.post(&token, DOMAINS, json!({"domain": name})).await;
        let text = answer.json()["domain"][0].as_str().unwrap_or_default().to_owned();
        assert_eq!(answer.status, 400, "{name}");
        assert!(text.contains("is a name of the platform itself"), "{name}: {text}");
    }
    assert_eq!(world.get(&token, DOMAINS).await.json()["count"], 0);
    for path in ["localhost", "a_b.example.org", "%00", "%ff", "a%2fb.example.org"] {
        world.delete(&token, &format!("{DOMAINS}/{path}")).await.is_detail(404, "Not found");
    }
}

#[tokio::test]
async fn a_domain_belongs_to_one_app() {
    let world = World::new().await;
    let (bob, eve) = (world.app("bob", "hello").await, world.app("eve", "evil").await);
    let theirs = "/v1/apps/evil/domains";
    assert_eq!(world.post(&bob, DOMAINS, json!({"domain": "www.example.org"})).await.status, 201);
    let taken = json!({"domain": ["This field must be unique."]});
    for name in ["www.example.org", "WWW.EXAMPLE.ORG", "www.example.org."] {
        world.post(&eve, theirs, json!({"domain": name})).await.is(400, taken.clone());
        world.post(&bob, DOMAINS, json!({"domain": name})).await.is(400, taken.clone());
    }
    world.delete(&eve, &format!("{theirs}/www.example.org")).await.is_detail(404, "Not found");
    world.delete(&bob, &format!("{DOMAINS}/www.example.org")).await.is_empty(204);
    assert_eq!(world.post(&eve, theirs, json!({"domain": "www.example.org"})).await.status, 201);
    world.delete(&eve, "/v1/apps/evil").await.is_empty(204);
    assert_eq!(world.post(&bob, DOMAINS, json!({"domain": "www.example.org"})).await.status, 201);
}

#[tokio::test]
async fn nobody_takes_names_out_of_a_wildcard_that_is_somebody_elses() {
    let world = World::new().await;
    let admin = world.user("admin").await;
    let (bob, eve) = (world.app("bob", "hello").await, world.app("eve", "evil").await);
    assert_eq!(world.post(&bob, "/v1/apps", json!({"id": "second"})).await.status, 201);
    assert_eq!(world.post(&bob, DOMAINS, json!({"domain": "*.example.org"})).await.status, 201);
    let theirs = "/v1/apps/evil/domains";
    let expect = json!({"domain": ["login.example.org lies under *.example.org, which another app has."]});
    world.post(&eve, theirs, json!({"domain": "login.example.org"})).await.is(400, expect);
    for name in ["example.org", "a.login.example.org"] {
        let added = world.post(&eve, theirs, json!({"domain": name})).await;
        assert_eq!(added.status, 201, "a wildcard matches one label: {added:?}");
    }
    let second = "/v1/apps/second/domains";
    for (token, path, name) in [(&bob, second, "a"), (&bob, DOMAINS, "b"), (&admin, theirs, "c")] {
        let added = world.post(token, path, json!({"domain": format!("{name}.example.org")})).await;
        assert_eq!(added.status, 201, "{added:?}");
    }
    share(&world, "hello", "eve").await;
    assert_eq!(world.post(&eve, theirs, json!({"domain": "login.example.org"})).await.status, 201);
}

#[tokio::test]
async fn collaborators_add_domains_and_only_owners_remove_them() {
    let world = World::new().await;
    let admin = world.user("admin").await;
    let owner = world.app("bob", "hello").await;
    let (friend, stranger) = (world.user("carol").await, world.user("eve").await);
    share(&world, "hello", "carol").await;
    let forbidden = "You do not have permission to perform this action.";
    let added = world.post(&friend, DOMAINS, json!({"domain": "www.example.org"})).await;
    assert_eq!((added.status, &added.json()["owner"]), (201, &json!("carol")));
    assert_eq!(world.get(&friend, DOMAINS).await.json()["count"], 1);
    let one = format!("{DOMAINS}/www.example.org");
    world.delete(&friend, &one).await.is_detail(403, forbidden);
    for (method, path) in [("GET", DOMAINS), ("POST", DOMAINS), ("DELETE", one.as_str())] {
        world.ask(&stranger, method, path, "{}").await.is_detail(404, "Not found");
        world.ask("", method, path, "{}").await.is_detail(401, "Authentication credentials were not provided.");
    }
    world.delete(&stranger, "/v1/apps/nobodys/domains/www.example.org").await.is_detail(404, "Not found");
    let show = world.get(&owner, &one).await;
    show.is_detail(405, "Method 'GET' not allowed.");
    assert_eq!(show.header("Allow"), "DELETE, OPTIONS");
    world.delete(&owner, &one).await.is_empty(204);
    assert_eq!(world.post(&admin, DOMAINS, json!({"domain": "www.example.org"})).await.json()["owner"], "admin");
    world.delete(&admin, &one).await.is_empty(204);
}

#[tokio::test]
async fn one_of_many_who_ask_at_once_gets_the_domain() {
    let world = World::new().await;
    let token = world.user("bob").await;
    for n in 0..6 {
        assert_eq!(world.post(&token, "/v1/apps", json!({"id": format!("app{n}")})).await.status, 201);
    }
    let asks = (0..6).map(|n| {
        let path = format!("/v1/apps/app{n}/domains");
        let (world, token) = (&world, &token);
        async move { world.post(token, &path, json!({"domain": "www.example.org"})).await.status }
    });
    let mut statuses = futures_util::future::join_all(asks).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 400, 400, 400, 400, 400]);
}

#[tokio::test]
async fn an_app_that_cannot_be_destroyed_yet_has_no_domains_any_more() {
    let world = World::new().await;
    let token = world.running("bob", "hello").await;
    assert_eq!(world.post(&token, "/v1/apps", json!({"id": "next"})).await.status, 201);
    assert_eq!(world.post(&token, DOMAINS, json!({"domain": "www.example.org"})).await.status, 201);
    world.engine.go_away();
    assert_eq!(world.delete(&token, "/v1/apps/hello").await.status, 503);
    let next = world.post(&token, "/v1/apps/next/domains", json!({"domain": "www.example.org"})).await;
    assert_eq!(next.status, 201, "{next:?}");
    world.post(&token, DOMAINS, json!({"domain": "w2.example.org"})).await.is_detail(404, "Not found");
}
