//! The hooks of an operator's own builder.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::{Answer, BUILDER_KEY, IMAGE, World};

async fn call(world: &World, key: &str, hook: &str, body: Value) -> Answer {
    let request = Request::post(format!("/v1/hooks/{hook}")).header("Content-Type", "application/json");
    let request = if key.is_empty() { request } else { request.header("X-Deis-Builder-Auth", key) };
    world.send(request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn only_the_builder_calls_them() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    for hook in ["push", "config", "build", "builds"] {
        let none = call(&world, "", hook, json!({})).await;
        none.is_detail(401, "Authentication credentials were not provided.");
        assert_eq!(call(&world, "another key of the same sort", hook, json!({})).await.status, 401);
        let forbidden = "You do not have permission to perform this action.";
        world.post(&token, &format!("/v1/hooks/{hook}"), json!({})).await.is_detail(403, forbidden);
        assert_eq!(call(&world, BUILDER_KEY, hook, json!({})).await.status, 400);
        assert_eq!(world.get(&token, &format!("/v1/hooks/{hook}")).await.status, 403, "before the method");
    }
}

#[tokio::test]
async fn a_push_is_recorded() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    let report = json!({"sha": "abc12345", "fingerprint": "aa:bb", "receive_user": "bob", "receive_repo": "hello",
        "ssh_connection": "10.0.0.1 1 10.0.0.2 22", "ssh_original_command": "git-receive-pack 'hello.git'"});
    let answer = call(&world, BUILDER_KEY, "push", report.clone()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let push = answer.json();
    for (name, value) in report.as_object().unwrap() {
        assert_eq!(push[name], *value);
    }
    assert_eq!(
        (&push["owner"], &push["app"], push["uuid"].as_str().unwrap().len()),
        (&json!("bob"), &json!("hello"), 36)
    );
    let logs = world.get(&token, "/v1/apps/hello/logs").await.text;
    assert!(logs.contains("bob pushed abc1234"), "{logs}");
    let missing = call(&world, BUILDER_KEY, "push", json!({"sha": "a".repeat(41)})).await.json();
    assert_eq!(missing.as_object().unwrap().len(), 6, "{missing}");
}

#[tokio::test]
async fn config_is_that_of_the_latest_release() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    world.user("eve").await;
    world.post(&token, "/v1/apps/hello/config", json!({"values": {"A": 1}})).await;
    let body = json!({"receive_user": "bob", "receive_repo": "hello"});
    let config = call(&world, BUILDER_KEY, "config", body).await;
    world.get(&token, "/v1/apps/hello/config").await.is(200, config.json());
    let ask = async |user: &str, repo: &str| {
        call(&world, BUILDER_KEY, "config", json!({"receive_user": user, "receive_repo": repo})).await.status
    };
    assert_eq!(ask("nobody", "hello").await, 404);
    assert_eq!(ask("bob", "nothing").await, 404);
    assert_eq!(ask("eve", "hello").await, 403);
}

#[tokio::test]
async fn a_build_is_released_or_refused_but_never_half() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    let body = |image: &str| {
        json!({"receive_user": "bob", "receive_repo": "hello", "image": image, "sha": "abc12345",
            "procfile": "{\"web\": \"./serve\"}", "dockerfile": "false"})
    };
    let built = call(&world, BUILDER_KEY, "build", body(IMAGE)).await;
    built.is(200, json!({"release": {"version": 2}, "domains": ["hello.example.com"]}));
    assert_eq!(world.get(&token, "/v1/apps/hello").await.json()["structure"], json!({"web": 1}));
    let release = world.get(&token, "/v1/apps/hello/releases/v2").await.json();
    assert_eq!(release["summary"], "bob deployed abc1234");
    let build =
        world.get(&token, &format!("/v1/apps/hello/builds/{}", release["build"].as_str().unwrap())).await.json();
    assert_eq!((&build["sha"], &build["dockerfile"]), (&json!("abc12345"), &json!("")));
    assert_eq!(call(&world, BUILDER_KEY, "build", body("no/such")).await.status, 503);
    assert_eq!(world.get(&token, "/v1/apps/hello/releases").await.json()["count"], 2);
    world.engine.add_image("hello:git-abc12345");
    assert_eq!(call(&world, BUILDER_KEY, "builds", body("hello")).await.json()["release"]["version"], 3);
}
