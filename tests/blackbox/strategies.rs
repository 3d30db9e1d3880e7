//! In which order instances are replaced, and what is told meanwhile.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::crash::recover;
use crate::support::{App, LONG, Load, Options, Repo, Slipway, User, wait_until};

/// What ran at once while something was done.
#[derive(Debug, Default)]
struct Seen {
    most: usize,
    releases: BTreeSet<String>,
    together: BTreeSet<BTreeSet<String>>,
}

/// Looks at the app's running containers again and again while `work` goes on.
async fn watched<T>(app: &App<'_>, work: impl Future<Output = T>) -> (T, Seen) {
    let seen = Mutex::new(Seen::default());
    let looking = async {
        loop {
            let mut running = app.containers().await;
            running.retain(|container| container.is_running);
            {
                let mut seen = seen.lock().expect("nobody panics with it");
                let releases: BTreeSet<String> = running.iter().map(|it| it.release.clone()).collect();
                seen.most = seen.most.max(running.len());
                seen.releases.extend(releases.clone());
                seen.together.insert(releases);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let done = tokio::select! {
        done = work => done,
        () = looking => unreachable!("it looks for ever"),
    };
    (done, seen.into_inner().expect("nobody panicked with it"))
}

async fn serving_with<'a>(owner: &'a User<'_>, strategy: &str, count: u32) -> (App<'a>, Repo) {
    let (app, repo) = owner.serving("docker-web").await;
    let bad = app.post("/config", &json!({ "values": { "SLIPWAY_STRATEGY": "canary" } })).await.expect(400);
    assert!(bad.text.contains("give beside, rolling or stop-first"), "{}", bad.text);
    app.set(&json!({ "SLIPWAY_STRATEGY": strategy })).await;
    app.scale(&json!({ "cmd": count })).await;
    (app, repo)
}

#[tokio::test]
async fn stop_first_never_runs_two_releases_at_once_and_brings_the_old_one_back() {
    let server = Slipway::start_with(Options::default().env("SLIPWAY_BOOT_TIMEOUT", "3s")).await;
    let owner = server.owner().await;
    let (app, repo) = serving_with(&owner, "stop-first", 1).await;
    repo.commit_file("VERSION", "2\n");
    let (push, seen) = watched(&app, app.push(&repo)).await;
    push.succeeded().says(&["SLIPWAY_STRATEGY=stop-first: cmd=1 of v3 end now, before v4 starts.", "answered 503"]);
    assert!(seen.most == 1 && seen.together.iter().all(|releases| releases.len() < 2), "{seen:?}");
    assert_eq!(app.page().await["version"], "2");

    let before = app.container().await;
    repo.become_app("docker-wrong-port");
    let (push, seen) = watched(&app, app.push(&repo)).await;
    push.failed().says(&["-----> Putting v4 back: cmd=1", "did not listen on port 8000"]);
    assert!(seen.most == 1 && seen.together.iter().all(|releases| releases.len() < 2), "{seen:?}");
    assert!(seen.releases.contains("v5"), "it was tried: {seen:?}");
    app.until_page("release", "v4").await;
    assert_eq!(app.container().await.instance, before.instance);
    assert_eq!(app.versions().await[0], 4);
}

#[tokio::test]
async fn rolling_takes_one_instance_more_and_fails_no_request() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = serving_with(&owner, "rolling", 3).await;
    let load = Load::on(&app);
    repo.commit_file("VERSION", "2\n");
    let (push, seen) = watched(&app, app.push(&repo)).await;
    push.succeeded().says(&["1 of 3 healthy (cmd=1)", "3 of 3 healthy (cmd=1)", "Draining v3: 1 instance"]);
    assert!(seen.most <= 4, "{seen:?}");
    assert_eq!((app.page().await["version"].clone(), app.containers().await.len()), (json!("2"), 3));

    // Nothing of a release that does not come up, and nothing less of the old one.
    let before = app.ids().await;
    repo.become_app("docker-crash");
    app.push(&repo).await.failed();
    assert_eq!(app.ids().await, before);
    let failures = load.stop().await;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
#[cfg_attr(not(debug_assertions), ignore = "only debug builds stop at a step")]
async fn killed_before_the_switch_what_had_made_way_comes_back() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    for (strategy, count) in [("stop-first", 1), ("rolling", 3)] {
        let (app, repo) = serving_with(&owner, strategy, count).await;
        let before: BTreeSet<String> = app.containers().await.into_iter().map(|it| it.instance).collect();
        repo.commit_file("VERSION", "2\n");
        server.pause_after("push:switch");
        let push = app.start_push(&repo);
        server.paused().await;
        let parked = server.rows("SELECT id FROM instances WHERE state = 'parked'").await;
        assert!(!parked.is_empty(), "{strategy}: something has made way");
        server.kill9().await;
        push.finish().await.failed();
        recover(&app, "v3").await;
        wait_until("all of the old ones run", LONG, async || {
            let now = app.containers().await;
            let ids: BTreeSet<String> = now.iter().map(|it| it.instance.clone()).collect();
            let is_whole = ids == before && now.iter().all(|it| it.is_running && it.release == "v3");
            if is_whole { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await;
        app.push(&repo).await.succeeded().says(&[":v4 deployed"]);
        assert_eq!(app.page().await["version"], "2");
    }
}

#[tokio::test]
async fn a_push_tells_what_is_still_in_flight_and_websockets_have_their_own_grace() {
    let options = Options::default().env("SLIPWAY_WEBSOCKET_GRACE", "3s");
    let server = Slipway::start_with(options).await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let http = server.addresses().http;
    let host = format!("{}.localhost", app.name);
    let mut request = format!("ws://{http}/ws").into_client_request().expect("a URL");
    request.headers_mut().insert("Host", host.parse().expect("a host"));
    let stream = tokio::net::TcpStream::connect(http).await.expect("the router answers");
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.expect("the upgrade passes");
    repo.commit_file("VERSION", "2\n");
    let mut push = app.start_push(&repo);
    push.line("healthy after").await;
    push.line("draining v2: 1 websocket").await;
    // It goes on until its grace is over.
    socket.send(Message::text("still here")).await.expect("it is open");
    let echo = socket.next().await.expect("an answer").expect("a frame");
    assert_eq!(echo.into_text().expect("text").as_str(), "still here");
    push.finish().await.succeeded();
    let end = tokio::time::timeout(LONG, socket.next()).await.expect("it ends with the drain");
    assert!(end.is_none_or(|frame| frame.is_err() || frame.is_ok_and(|frame| frame.is_close())));
}
