//! One-off commands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::World;
use crate::engine::{ExitStatus, label};

const RUN: &str = "/v1/apps/hello/run";
const ONE_OFFS: &str = "/v1/apps/hello/containers/run";

fn ended(code: i64) -> Option<ExitStatus> {
    Some(ExitStatus { code, out_of_memory: false })
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_answer_is_an_array_of_status_and_output() {
    let world = World::new().await;
    let token = world.running("bob", "hello").await;
    world.engine.answer_runs("Hello, 世界\r\nno end".as_bytes(), ended(3));
    let answer = world.post(&token, RUN, json!({"command": "echo 'Hello, 世界'"})).await;
    assert_eq!((answer.status, answer.header("Content-Type")), (200, "text/plain"));
    assert_eq!(answer.json(), json!([3, "Hello, 世界\r\nno end"]));
    world.engine.answer_runs(b"\xff\0\xfe", ended(0));
    assert_eq!(world.post(&token, RUN, json!({"command": ""})).await.json(), json!([0, "\u{fffd}\0\u{fffd}"]));
    let killed = Some(ExitStatus { code: 137, out_of_memory: true });
    world.engine.answer_runs(b"eating", killed);
    let answer = world.post(&token, RUN, json!({"command": "eat"})).await.json();
    assert_eq!(answer, json!([137, "eating\n[slipway: the command ran out of memory (limit 64 MiB)]\n"]));

    let made = world.engine.one_offs();
    assert_eq!(made.len(), 3);
    assert_eq!(made[0].command.as_ref().unwrap()[2], "echo 'Hello, 世界'");
    assert_eq!(made[0].env["DEIS_RELEASE"], "v2");
    assert!(!made[0].env.contains_key("PORT"), "{:?}", made[0].env);
    assert!(made[0].labels.contains_key(label::APP) && made[0].labels.contains_key(label::SERVER));
    assert_eq!(world.engine.one_offs_there(), 0, "nothing is left of them");
    let logs = world.get(&token, "/v1/apps/hello/logs").await.json();
    assert!(logs.as_str().unwrap().contains("UTC deis[api]: bob runs 'echo 'Hello, 世界''\n"), "{logs}");
}

#[tokio::test]
async fn what_cannot_be_run_is_refused() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    let detail = "No build associated with this release to run this command";
    world.post(&token, RUN, json!({"command": "ls"})).await.is_detail(400, detail);
    let build = json!({"image": super::IMAGE, "procfile": {"web": "./serve"}});
    assert_eq!(world.post(&token, "/v1/apps/hello/builds", build).await.status, 201);
    let check = async |body: Value, text: &str| world.post(&token, RUN, body).await.is(400, json!({"command": [text]}));
    check(json!({}), "This field is required.").await;
    check(json!({"command": null}), "This field may not be null.").await;
    check(json!({"command": ["ls"]}), "Not a valid string.").await;
    check(json!({"command": "a\0b"}), "Null characters are not allowed.").await;
    let long = "A command has at most 128000 bytes; put a longer script into the app.";
    check(json!({"command": "x".repeat(128_001)}), long).await;
    assert_eq!(world.get(&token, RUN).await.status, 405);
    world.engine.have_no_shell();
    let answer = world.post(&token, RUN, json!({"command": "ls"})).await;
    assert_eq!(answer.status, 400);
    assert!(answer.json()["detail"].as_str().unwrap().contains("neither /bin/bash nor /bin/sh"), "{answer:?}");
    assert_eq!(world.engine.one_offs_there(), 0);
    let stranger = world.user("eve").await;
    assert_eq!(world.post(&stranger, RUN, json!({"command": "ls"})).await.status, 404);
    world.engine.go_away();
    assert_eq!(world.post(&token, RUN, json!({"command": "ls"})).await.status, 503);
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_ended() {
    let world = World::new().await;
    let token = world.running("bob", "hello").await;
    world.engine.answer_runs(b"", None);
    let answer = world.post(&token, RUN, json!({"command": "sleep 99"})).await;
    assert_eq!(answer.status, 503);
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("container timed out") && detail.ends_with("sleep 99"), "{detail}");
    assert_eq!(world.engine.one_offs_there(), 0);
}

#[tokio::test]
async fn one_offs_are_listed_by_themselves_and_end_with_their_client() {
    let world = Arc::new(World::new().await);
    let token = world.running("bob", "hello").await;
    world.engine.answer_runs(b"", None);
    let mut clients = Vec::new();
    for count in 1..=2 {
        let (asked, by) = (world.clone(), token.clone());
        clients.push(tokio::spawn(async move { asked.post(&by, RUN, json!({"command": "sleep 99"})).await }));
        until("it is up", async || {
            let list = world.get(&token, ONE_OFFS).await.json();
            list["results"].as_array().unwrap().iter().filter(|it| it["state"] == "up").count() == count
        })
        .await;
    }
    let list = world.get(&token, ONE_OFFS).await.json();
    let first = &list["results"][0];
    assert_eq!((&list["count"], &first["type"], &first["num"]), (&json!(2), &json!("run"), &json!(1)));
    assert_eq!((&first["owner"], &first["release"], &first["app"]), (&json!("bob"), &json!("v2"), &json!("hello")));
    assert_eq!(first.as_object().unwrap().len(), 9, "{first}");
    world.get(&token, &format!("{ONE_OFFS}/1")).await.is(200, first.clone());
    world.get(&token, &format!("{ONE_OFFS}/3")).await.is_detail(404, "Not found");
    assert_eq!(world.get(&token, "/v1/apps/hello/containers").await.json()["count"], 1, "other lists leave them out");
    clients[0].abort();
    until("the first is gone", async || world.get(&token, ONE_OFFS).await.json()["count"] == 1).await;
    assert_eq!(world.get(&token, ONE_OFFS).await.json()["results"][0]["num"], 2, "the other one goes on");
    assert_eq!(world.engine.one_offs_there(), 1);
    clients[1].abort();
    until("nothing is left", async || world.engine.one_offs_there() == 0).await;
}

#[tokio::test]
async fn an_app_has_only_so_many_at_once_and_takes_them_along_when_it_goes() {
    let world = Arc::new(World::new().await);
    let token = world.running("bob", "hello").await;
    world.engine.answer_runs(b"", None);
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let (world, token) = (world.clone(), token.clone());
            tokio::spawn(async move { world.post(&token, RUN, json!({"command": "sleep 99"})).await })
        })
        .collect();
    until("20 are there", async || world.get(&token, ONE_OFFS).await.json()["count"] == 20).await;
    let many = world.post(&token, RUN, json!({"command": "sleep 99"})).await;
    many.is_detail(503, "this app runs 20 commands at once already; wait until one of them ends");
    world.delete(&token, "/v1/apps/hello").await.is_empty(204);
    assert_eq!(world.engine.one_offs_there(), 0);
    for client in clients {
        client.await.unwrap().is_detail(503, "app 'hello' was destroyed, and its commands ended");
    }
    assert_eq!(world.post(&token, RUN, json!({"command": "ls"})).await.status, 404);
}
