//! Routing settings: merge, reset, refuse.

use serde_json::{Value, json};

use super::World;

const ROUTING: &str = "/v1/apps/hello/routing";

fn defaults() -> Value {
    json!({
        "maintenance": false, "maintenance_page": null, "https": "optional", "hsts_seconds": 0, "hsts_subdomains": false,
        "sticky": false, "max_body_bytes": 1_073_741_824u64, "request_timeout_seconds": 60, "idle_timeout_seconds": 300,
        "max_connections": 4096, "access_log": true,
    })
}

/// The defaults with these laid over them.
fn with(changes: Value) -> Value {
    let mut all = defaults();
    for (name, value) in changes.as_object().unwrap() {
        all[name] = value.clone();
    }
    all
}

#[tokio::test]
async fn settings_are_merged_and_go_back_to_their_defaults() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    world.get(&token, ROUTING).await.is(200, defaults());
    let patch = async |body: Value| world.ask(&token, "PATCH", ROUTING, &body.to_string()).await;
    patch(json!({})).await.is(200, defaults());
    let first = json!({"maintenance": true, "maintenance_page": "<h1>Soon é</h1>", "https": "redirect"});
    patch(first.clone()).await.is(200, with(first));
    let second =
        json!({"max_body_bytes": 4096.0, "maintenance": "FALSE", "request_timeout_seconds": "5", "unknown": 1});
    let now = with(json!({
        "maintenance_page": "<h1>Soon é</h1>", "https": "redirect", "max_body_bytes": 4096, "request_timeout_seconds": 5,
    }));
    patch(second).await.is(200, now.clone());
    world.get(&token, ROUTING).await.is(200, now);
    let reset = json!({"maintenance": null, "maintenance_page": null, "https": null, "max_body_bytes": null});
    patch(reset).await.is(200, with(json!({"request_timeout_seconds": 5})));
    let log = world.get(&token, "/v1/apps/hello/logs").await;
    assert!(log.text.contains("routing changed: maintenance=true, maintenance_page set, https=redirect"), "{log:?}");
}

#[tokio::test]
async fn a_value_out_of_bounds_is_named_with_its_bounds_and_nothing_changes() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    let check = async |body: Value, expect: Value| {
        world.ask(&token, "PATCH", ROUTING, &body.to_string()).await.is(400, expect);
        world.get(&token, ROUTING).await.is(200, defaults());
    };
    check(
        json!({"max_connections": 0, "sticky": 3, "maintenance": true}),
        json!({
            "max_connections": ["max_connections cannot be '0': it takes a whole number from 1 to 100000, or null for the default"],
            "sticky": ["sticky cannot be '3': it takes true or false, or null for the default"],
        }),
    )
    .await;
    for (name, value, shown) in [
        ("https", json!("always"), "'always'"),
        ("https", json!(true), "'true'"),
        ("max_body_bytes", json!(-5), "'-5'"),
        ("max_body_bytes", json!(1500.5), "'1500.5'"),
        ("max_body_bytes", json!(1e30), "'1e"),
        ("idle_timeout_seconds", json!([1]), "'[1]'"),
        ("maintenance_page", json!(""), "''"),
        ("maintenance_page", json!({"a": 1}), "'{"),
        ("maintenance_page", json!("x".repeat(65_537)), "a text of 65537 bytes"),
        ("hsts_seconds", json!("1 year"), "'1 year'"),
    ] {
        let answer = world.ask(&token, "PATCH", ROUTING, &json!({name: value}).to_string()).await;
        let message = answer.json()[name][0].as_str().unwrap_or_default().to_owned();
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(message.starts_with(&format!("{name} cannot be {shown}")), "{message}");
    }
}

#[tokio::test]
async fn settings_go_with_their_app() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    world.ask(&token, "PATCH", ROUTING, r#"{"sticky": true}"#).await.is(200, with(json!({"sticky": true})));
    assert_eq!(world.ask(&token, "DELETE", "/v1/apps/hello", "").await.status, 204);
    assert_eq!(world.get(&token, ROUTING).await.status, 404);
    assert_eq!(world.post(&token, "/v1/apps", json!({"id": "hello"})).await.status, 201);
    world.get(&token, ROUTING).await.is(200, defaults());
}
