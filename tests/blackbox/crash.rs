//! `kill -9` at every moment: each change is then finished or undone, and nobody's traffic stops.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::at_once::slow_slug;
use crate::support::{Answer, App, LONG, Options, Repo, SHORT, Slipway, fresh_name, processes_with, wait_until};

/// Asks each instance of the app at its container's own address; yields what they say.
async fn ask_directly(app: &App<'_>) -> Vec<Value> {
    let mut pages = Vec::new();
    for container in app.containers().await.into_iter().filter(|container| container.is_running) {
        let address = SocketAddr::new(container.ip.expect("a running container has an address"), 8000);
        let request = app.user.server.http().get(format!("http://{address}/")).timeout(Duration::from_secs(5));
        let answer = Answer::to(request, format!("GET {address} of {}", app.name)).await;
        pages.push(answer.unwrap_or_else(|error| panic!("{error}")).expect(200).json());
    }
    pages
}

fn releases(pages: &[Value]) -> Vec<&str> {
    let mut releases: Vec<&str> = pages.iter().filter_map(|page| page["release"].as_str()).collect();
    releases.sort_unstable();
    releases
}

/// Restarts the server so that the next operation stops for ever behind `place`.
pub async fn pause_after(server: &Slipway, place: &str) {
    server.stop().await;
    server.restart_with(Options::default().pause_after(place)).await;
}

/// Starts the server as usual after it was killed, and waits until the app serves `release` through the router and nothing
/// of the interrupted operation is left.
pub async fn recover(app: &App<'_>, release: &str) -> Value {
    let server = app.user.server;
    server.restart_with(Options::default()).await;
    let page = app.until_page("release", release).await;
    server.settle().await;
    assert_eq!(server.docker().build_containers(&server.id().await).await, []);
    // With several instances another one may answer, but never another release.
    let again = app.page().await;
    assert_eq!((&again["release"], &again["version"]), (&page["release"], &page["version"]));
    page
}

/// Kills the server when a push of version 2 over version 1 has reached `step`, and checks that `release` serves `version`
/// afterwards, and that the next push works.
async fn kill_in_push(step: &str, running: &[&str], release: &str, version: &str) {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let container = app.container().await;
    repo.commit_file("VERSION", "2\n");
    pause_after(&server, &format!("push:{step}")).await;
    let push = app.start_push(&repo);
    server.paused().await;
    server.kill9().await;
    push.finish().await.failed();
    assert_eq!(releases(&ask_directly(&app).await), running, "while Slipway is down, what ran goes on");

    let page = recover(&app, release).await;
    assert_eq!(page["version"], version);
    let has_switched = version == "2";
    assert_eq!(app.container().await.id == container.id, !has_switched, "the old container is left alone, or gone");
    assert_eq!(app.versions().await[0], if has_switched { 3 } else { 2 });

    // From the switch on the hook has git take the push, although the server is dead and the pusher sees a failure.
    if has_switched {
        assert_eq!(app.head(&repo).await, Some(repo.head()), "the ref follows the release");
        repo.commit_file("NOTE", "again\n");
    }
    let push = app.push(&repo).await.succeeded();
    let next = if has_switched { "v4" } else { "v3" };
    push.says(&[&format!(":{next} deployed to Slipway")]);
    assert_eq!((app.page().await["version"].as_str(), app.head(&repo).await), (Some("2"), Some(repo.head())));
}

#[tokio::test]
#[cfg_attr(not(debug_assertions), ignore = "only debug builds stop at a step")]
async fn killed_between_build_and_release_the_old_release_serves() {
    kill_in_push("release", &["v2"], "v2", "1").await;
}

#[tokio::test]
#[cfg_attr(not(debug_assertions), ignore = "only debug builds stop at a step")]
async fn killed_between_release_and_rollout_the_old_release_serves() {
    kill_in_push("start", &["v2"], "v2", "1").await;
}

#[tokio::test]
#[cfg_attr(not(debug_assertions), ignore = "only debug builds stop at a step")]
async fn killed_with_healthy_new_instances_before_the_switch_the_old_release_serves() {
    kill_in_push("switch", &["v2", "v3"], "v2", "1").await;
}

#[tokio::test]
#[cfg_attr(not(debug_assertions), ignore = "only debug builds stop at a step")]
async fn killed_after_the_switch_the_new_release_serves() {
    kill_in_push("drain", &["v2", "v3"], "v3", "2").await;
}

#[tokio::test]
async fn killed_during_a_dockerfile_build_nothing_of_it_is_left() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let marker = fresh_name("marker");
    repo.become_app("docker-slow-build");
    repo.edit("Dockerfile", "still building:", &format!("still building {marker}:"));
    repo.commit("Mark the build");
    let mut push = app.start_push(&repo);
    push.line(&format!("still building {marker}: 2 s")).await;
    server.kill9().await;
    push.finish().await.failed();
    assert_eq!(releases(&ask_directly(&app).await), ["v2"]);
    recover(&app, "v2").await;
    until_no_process(&marker).await;
    assert_eq!(app.versions().await, [2, 1]);
    assert_next_push(&app, &repo).await;
}

#[tokio::test]
async fn killed_during_a_slug_build_nothing_of_it_is_left() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let marker = fresh_name("marker");
    repo.become_app("hello");
    slow_slug(&repo, &marker);
    let mut push = app.start_push(&repo);
    push.line("compiling slowly").await;
    server.kill9().await;
    push.finish().await.failed();
    recover(&app, "v2").await;
    until_no_process(&marker).await;
    assert_next_push(&app, &repo).await;
}

async fn until_no_process(marker: &str) {
    wait_until("no process of the build is left", SHORT, async || {
        let left = processes_with(marker);
        if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
    })
    .await;
}

async fn assert_next_push(app: &App<'_>, repo: &Repo) {
    repo.become_app("docker-web");
    repo.commit_file("VERSION", "3\n");
    app.push(repo).await.succeeded().says(&[":v3 deployed to Slipway"]);
    assert_eq!(app.page().await["version"], "3");
}

#[tokio::test]
#[cfg_attr(not(debug_assertions), ignore = "only debug builds stop at a step")]
async fn killed_during_a_config_change_or_a_rollback_the_old_release_serves() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    app.set(&json!({ "GREETING": "kept" })).await;
    for (place, below, body) in [
        ("config:switch", "/config", json!({ "values": { "GREETING": "lost" } })),
        ("rollback:switch", "/releases/rollback", json!({ "version": 2 })),
    ] {
        pause_after(&server, place).await;
        app.until_page("release", "v3").await;
        tokio::select! {
            answer = app.post(below, &body) => panic!("{answer:?}"),
            () = server.paused() => {}
        }
        server.kill9().await;
        let page = recover(&app, "v3").await;
        assert_eq!(page["config"], "kept");
        assert_eq!(
            (app.get("/config").await["values"].clone(), app.versions().await),
            (json!({ "GREETING": "kept" }), vec![3, 2, 1])
        );
    }
    assert_eq!(app.set(&json!({ "GREETING": "next" })).await, 4);
}

#[tokio::test]
#[cfg_attr(not(debug_assertions), ignore = "only debug builds stop at a step")]
async fn killed_during_scale_the_counts_are_the_old_or_the_new_ones() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    let first = app.container().await.id;
    for (place, running, wanted) in [("scale:start", 1, 1), ("scale:switch", 3, 1), ("scale:drain", 3, 3)] {
        pause_after(&server, place).await;
        app.until_page("release", "v2").await;
        let counts = json!({ "cmd": 3 });
        tokio::select! {
            answer = app.post("/scale", &counts) => panic!("{answer:?}"),
            () = server.paused() => {}
        }
        server.kill9().await;
        assert_eq!(ask_directly(&app).await.len(), running, "{place}");
        recover(&app, "v2").await;
        let ids: Vec<String> = app.containers().await.into_iter().map(|container| container.id).collect();
        assert!(ids.len() == wanted && ids.contains(&first), "{place}: {ids:?} with {first}");
        assert_eq!(app.get("").await["structure"], json!({ "cmd": wanted }), "{place}");
    }
    app.scale(&json!({ "cmd": 1 })).await;
    assert_eq!(app.container().await.id, first);
}

#[tokio::test]
#[cfg_attr(not(debug_assertions), ignore = "only debug builds stop at a step")]
async fn killed_during_a_restart_one_set_of_instances_serves() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    for (step, running, has_switched) in [("start", 1, false), ("switch", 2, false), ("drain", 2, true)] {
        let before = app.container().await;
        pause_after(&server, &format!("restart:{step}")).await;
        app.until_page("release", "v2").await;
        let nothing = json!({});
        tokio::select! {
            answer = app.post("/containers/restart", &nothing) => panic!("{answer:?}"),
            () = server.paused() => {}
        }
        server.kill9().await;
        assert_eq!(ask_directly(&app).await.len(), running, "{step}");
        recover(&app, "v2").await;
        let after = app.container().await;
        assert_eq!(after.id != before.id, has_switched, "{step}");
        assert_eq!(after.instance != before.instance, has_switched, "{step}");
        assert_eq!(app.get("/containers/cmd/1").await["state"], "up", "{step}");
    }
    app.post("/containers/restart", &json!({})).await.expect(200);
}

#[tokio::test]
#[cfg_attr(not(debug_assertions), ignore = "only debug builds stop at a step")]
async fn killed_during_destroy_the_app_is_gone_after_the_restart() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let id = server.rows("SELECT id FROM apps").await.remove(0);
    pause_after(&server, "destroy:destroy").await;
    app.until_page("release", "v2").await;
    let path = app.path("");
    tokio::select! {
        answer = owner.delete(&path) => panic!("{answer:?}"),
        () = server.paused() => {}
    }
    server.kill9().await;
    server.restart_with(Options::default()).await;
    wait_until("nothing of the app is left", LONG, async || {
        let objects = server.docker().objects(&[&format!("io.slipway.app={id}")]).await;
        let rows = server.rows("SELECT name FROM apps").await;
        if objects == Default::default() && rows.is_empty() { Ok(()) } else { Err(format!("{objects:?} {rows:?}")) }
    })
    .await;
    owner.get(&app.path("")).await.expect(404);
    assert_eq!(app.ask("/").await.status, 404);
    owner.post("/apps", &json!({ "id": app.name })).await.expect(201);
    app.push(&repo).await.succeeded().says(&[":v2 deployed to Slipway"]);
}

#[tokio::test]
async fn a_stop_ends_with_status_0_leaves_apps_running_and_keeps_everything() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let (before, host_key) = (app.snapshot(&repo).await, host_key(&owner.key.known_hosts()));
    server.stop().await;
    assert_eq!(releases(&ask_directly(&app).await), ["v2"]);
    server.restart().await;
    app.until_page("release", "v2").await;
    app.assert_unchanged(&repo, &before).await;
    std::fs::remove_file(owner.key.known_hosts()).expect("ssh wrote it");
    app.head(&repo).await;
    assert_eq!(host_key, self::host_key(&owner.key.known_hosts()), "the server shows the same host key");
}

fn host_key(known_hosts: &std::path::Path) -> Vec<String> {
    let text = std::fs::read_to_string(known_hosts).expect("ssh wrote it");
    let mut keys: Vec<String> =
        text.lines().map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")).collect();
    keys.sort();
    keys.dedup();
    assert!(keys.len() == 1 && keys[0].starts_with("ssh-ed25519 "), "{keys:?}");
    keys
}

#[tokio::test]
async fn an_instance_that_died_while_slipway_was_down_is_started_again() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    let container = app.container().await;
    server.kill9().await;
    server.docker().remove(&container.id).await;
    server.restart().await;
    app.until_page("release", "v2").await;
    assert_eq!(app.container().await.instance, container.instance);
}

#[tokio::test]
async fn a_stop_during_a_build_cancels_it_in_time() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let marker = fresh_name("marker");
    repo.become_app("docker-slow-build");
    repo.edit("Dockerfile", "still building:", &format!("still building {marker}:"));
    repo.commit("Mark the build");
    let mut push = app.start_push(&repo);
    push.line(&format!("still building {marker}: 1 s")).await;
    server.stop().await;
    push.finish().await.failed();
    until_no_process(&marker).await;
    server.restart().await;
    app.until_page("release", "v2").await;
    assert_next_push(&app, &repo).await;
}
