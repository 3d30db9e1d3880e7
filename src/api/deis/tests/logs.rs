//! Choose among the lines of a log, and follow it.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use axum::http::header::AUTHORIZATION;
use futures_util::StreamExt;
use serde_json::json;
use tokio::time::timeout;
use tower::ServiceExt;

use super::World;

const LOGS: &str = "/v1/apps/hello/logs";

/// Begins to follow.
async fn follow(world: &World, token: &str, query: &str) -> BodyDataStream {
    let request = Request::get(format!("{LOGS}?follow=true{query}")).header(AUTHORIZATION, format!("token {token}"));
    let response = world.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    response.into_body().into_data_stream()
}

/// What comes next; `None` at the end.
async fn next(stream: &mut BodyDataStream) -> Option<String> {
    let chunk = timeout(Duration::from_secs(10), stream.next()).await.expect("something comes")?;
    Some(String::from_utf8(chunk.unwrap().to_vec()).unwrap())
}

/// What comes up to the end of a line, without the moments.
async fn until(stream: &mut BodyDataStream, end: &str) -> Vec<String> {
    let mut text = String::new();
    while !text.ends_with(&format!("{end}\n")) {
        text += &next(stream).await.unwrap_or_else(|| panic!("'{end}' does not come: {text}"));
    }
    text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
}

#[tokio::test]
async fn a_log_is_followed_until_the_app_is_gone() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    let mut all = follow(&world, &token, "").await;
    assert_eq!(until(&mut all, "release").await, ["deis[api]: bob created initial release"]);
    let mut new = follow(&world, &token, "&log_lines=0&source=api").await;
    world.post(&token, "/v1/apps/hello/config", json!({"values": {"A": "1"}})).await;
    world.post(&token, "/v1/apps/hello/domains", json!({"domain": "www.example.org"})).await;
    let added = "deis[api]: domain www.example.org added";
    assert_eq!(until(&mut all, "example.org added").await, ["deis[release]: v2 by bob: added A", added]);
    assert_eq!(until(&mut new, "example.org added").await, [added]);
    world.delete(&token, "/v1/apps/hello").await.is_empty(204);
    for stream in [&mut all, &mut new] {
        assert_eq!(next(stream).await, None);
    }
}

#[tokio::test]
async fn every_change_of_what_serves_leaves_one_mark() {
    let world = World::new().await;
    let token = world.running("bob", "hello").await;
    world.post(&token, "/v1/apps/hello/config", json!({"values": {"A": "1"}})).await;
    world.post(&token, "/v1/apps/hello/releases/rollback", json!({"version": 2})).await;
    world.post(&token, "/v1/apps/hello/containers/web/restart", json!({})).await;
    let failed = world.post(&token, "/v1/apps/hello/builds", json!({"image": "example/missing:1"})).await;
    assert_eq!(failed.status, 503, "{failed:?}");
    let marks = world.get(&token, &format!("{LOGS}?source=release")).await.json();
    let marks: Vec<&str> = marks.as_str().unwrap().lines().map(|line| line.split_once("]: ").unwrap().1).collect();
    let expect = [
        "v2 by bob: deployed example/hello:1.0",
        "v2 by bob: scaled cmd=0 web=1",
        "v3 by bob: added A",
        "v4 by bob: rolled back to v2",
        "v4 by bob: restarted web",
    ];
    assert_eq!(marks, expect);
}

#[tokio::test]
async fn lines_are_chosen_by_process_instance_and_source() {
    let world = World::new().await;
    let token = world.running("bob", "hello").await;
    let said = async |query: &str| {
        let answer = world.get(&token, &format!("{LOGS}?{query}")).await;
        if answer.status == 204 { String::new() } else { answer.json().as_str().unwrap().to_owned() }
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while said("instance=web.1&instance=cmd.1").await.lines().count() < 2 {
        assert!(std::time::Instant::now() < deadline, "the containers' lines are not there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(said("process=web").await.lines().all(|line| line.contains(" hello[web.1]: ")));
    assert!(!said("process=web").await.is_empty());
    assert!(said("source=app&process=cmd").await.lines().all(|line| line.contains(" hello[cmd.1]: ")));
    assert!(said("source=api&source=release").await.lines().all(|line| line.contains(" deis[")));
    assert_eq!(said("process=worker").await, "");
    assert_eq!(said("source=router").await, "");
    assert_eq!(said("source=release&log_lines=1").await.lines().count(), 1);
    let sources = "app, router, slipway, api, certificates, cron, deploy, disk, drain, logs, release, supervisor";
    let why = format!("'nobody' is not a source of log lines; the sources are {sources}");
    world.get(&token, &format!("{LOGS}?source=nobody")).await.is(400, json!({"source": [why]}));
    world.get(&token, &format!("{LOGS}?follow=x")).await.is(400, json!({"follow": ["Must be a valid boolean."]}));
    let why = "'web' is not an instance: write it like web.1, or give at least 8 characters of its uuid";
    world.get(&token, &format!("{LOGS}?follow=true&instance=web")).await.is(400, json!({"instance": [why]}));
}
