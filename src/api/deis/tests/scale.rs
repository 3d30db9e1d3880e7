//! Scaling, containers, logs.

use serde_json::{Value, json};

use super::World;
use super::engine::SAYING;
use crate::engine::{ContainerState, ExitStatus};

const SCALE: &str = "/v1/apps/hello/scale";
const CONTAINERS: &str = "/v1/apps/hello/containers";

#[tokio::test]
async fn counts_are_converted_and_other_types_keep_theirs() {
    let world = World::new().await;
    let token = world.running("bob", "hello").await;
    let structure = async || world.get(&token, "/v1/apps/hello").await.json()["structure"].clone();
    world.post(&token, SCALE, json!({"web": 2, "worker": "1"})).await.is_empty(204);
    assert_eq!(structure().await, json!({"web": 2, "worker": 1}));
    world.post(&token, SCALE, json!({"worker": 2.7})).await.is_empty(204);
    assert_eq!(structure().await, json!({"web": 2, "worker": 2}));
    world.post(&token, SCALE, json!({"worker": 2})).await.is_empty(204);
    world.post(&token, SCALE, json!({"web": 0, "worker": 0})).await.is_empty(204);
    assert_eq!(structure().await, json!({}));
}

#[tokio::test]
async fn checks_come_in_the_order_of_deis() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    let check = async |body: Value, detail: &str| world.post(&token, SCALE, body).await.is_detail(400, detail);
    let negative = "Must be greater than or equal to zero";
    check(json!({"web": -1, "foo": null}), "Invalid scaling format").await;
    check(json!({"web": "one"}), "Invalid scaling format").await;
    check(json!({"foo": -1}), negative).await;
    check(json!({"foo": 1}), "No build associated with this release").await;
    let build = json!({"image": super::IMAGE, "procfile": {"web": "./serve"}});
    assert_eq!(world.post(&token, "/v1/apps/hello/builds", build).await.status, 201);
    check(json!({"foo": 1}), "Container type foo does not exist in application").await;
    check(json!({"a b": 1}), "Container type a b does not exist in application").await;
    let many = world.post(&token, SCALE, json!({"web": 99_999_999_999_u64})).await;
    assert_eq!(many.status, 400, "{many:?}");
    assert_eq!(world.get(&token, "/v1/apps/hello").await.json()["structure"], json!({"cmd": 1}));
}

#[tokio::test]
async fn containers_are_shown_with_their_state() {
    let world = World::new().await;
    let token = world.running("bob", "hello").await;
    world.post(&token, SCALE, json!({"web": 2, "worker": 1})).await.is_empty(204);
    let list = world.get(&token, CONTAINERS).await.json();
    assert_eq!((&list["count"], &list["next"]), (&json!(3), &json!(null)));
    let first = &list["results"][0];
    assert_eq!((&first["type"], &first["num"], &first["state"]), (&json!("web"), &json!(1), &json!("up")));
    assert_eq!((&first["release"], &first["owner"], &first["app"]), (&json!("v2"), &json!("bob"), &json!("hello")));
    assert_eq!(first.as_object().unwrap().len(), 9, "{first}");
    let of_type = async |process: &str| world.get(&token, &format!("{CONTAINERS}/{process}")).await.json();
    assert_eq!(of_type("web").await["count"], 2);
    assert_eq!(of_type("worker").await["results"][0]["type"], "worker");
    for none in ["run", "nonsense", "a.b"] {
        assert_eq!(of_type(none).await, json!({"count": 0, "next": null, "previous": null, "results": []}));
    }
    world.get(&token, &format!("{CONTAINERS}/web/1")).await.is(200, first.clone());
    for unknown in ["web/3", "web/x", "web/-1", "nonsense/1"] {
        world.get(&token, &format!("{CONTAINERS}/{unknown}")).await.is_detail(404, "Not found");
    }
    let state = async || world.get(&token, &format!("{CONTAINERS}/web/2")).await.json()["state"].clone();
    world.engine.set_all(&ContainerState::Created);
    assert_eq!(state().await, "created");
    world.engine.set_all(&ContainerState::Exited(ExitStatus { code: 1, out_of_memory: false }));
    assert_eq!(state().await, "crashed");
    world.engine.lose_all();
    assert_eq!(state().await, "destroyed");
}

/// An administrator's scaling does not make the containers the administrator's.
#[tokio::test]
async fn the_owner_of_a_container_is_the_apps() {
    let world = World::new().await;
    let admin = world.user("admin").await;
    world.running("bob", "hello").await;
    world.post(&admin, SCALE, json!({"worker": 1})).await.is_empty(204);
    let containers = world.get(&admin, CONTAINERS).await.json();
    assert!(containers["results"].as_array().unwrap().iter().all(|c| c["owner"] == "bob"), "{containers}");
    let logs = world.get(&admin, "/v1/apps/hello/logs").await.json();
    assert!(logs.as_str().unwrap().contains("UTC deis[api]: admin scaled containers worker=1\n"), "{logs}");
}

#[tokio::test]
async fn logs_are_one_json_string_of_lines() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    let answer = world.get(&token, "/v1/apps/hello/logs").await;
    assert_eq!((answer.status, answer.header("Content-Type")), (200, "text/plain"));
    let text = answer.json().as_str().unwrap().to_owned();
    let (time, line) = text.split_once(' ').unwrap();
    assert_eq!((time.len(), &time[19..], line), (22, "UTC", "deis[api]: bob created initial release\n"));
    let build = json!({"image": super::IMAGE, "procfile": {"web": "./serve"}});
    assert_eq!(world.post(&token, "/v1/apps/hello/builds", build).await.status, 201);
    let said = format!("2014-11-14T20:00:00UTC hello[cmd.1]: {SAYING}\n");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let text = world.get(&token, "/v1/apps/hello/logs").await.json().as_str().unwrap().to_owned();
        if text.contains(&said) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the container's line is not there: {text}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let last = world.get(&token, "/v1/apps/hello/logs?log_lines=1").await.json();
    assert_eq!(last.as_str().unwrap().lines().count(), 1, "{last}");
    world.get(&token, "/v1/apps/hello/logs?log_lines=0").await.is_empty(204);
}
