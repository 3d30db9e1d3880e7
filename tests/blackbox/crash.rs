//! `kill -9` in the middle of a build, and stops. `fault_matrix.rs` has the recorded steps.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::at_once::slow_slug;
use crate::support::{Answer, App, Repo, SHORT, Slipway, fresh_name, processes_with, wait_until};

/// Asks each instance of the app at its container's own address; yields what they say.
pub async fn ask_directly(app: &App<'_>) -> Vec<Value> {
    let mut pages = Vec::new();
    for container in app.containers().await.into_iter().filter(|container| container.is_running) {
        let port = container.env.iter().find_map(|variable| variable.strip_prefix("PORT="));
        let port = port.and_then(|port| port.parse().ok()).expect("an app is told its port");
        let address = SocketAddr::new(container.ip.expect("a running container has an address"), port);
        let request = app.user.server.http().get(format!("http://{address}/")).timeout(Duration::from_secs(5));
        let answer = Answer::to(request, format!("GET {address} of {}", app.name)).await;
        pages.push(answer.unwrap_or_else(|error| panic!("{error}")).expect(200).json());
    }
    pages
}

/// The releases that pages name, in order.
pub fn releases(pages: &[Value]) -> Vec<&str> {
    let mut releases: Vec<&str> = pages.iter().filter_map(|page| page["release"].as_str()).collect();
    releases.sort_unstable();
    releases
}

/// Starts the server as usual after it was killed, and waits until the app serves `release` through the router and nothing
/// of the interrupted operation is left.
pub async fn recover(app: &App<'_>, release: &str) -> Value {
    let server = app.user.server;
    server.go_on();
    server.restart().await;
    let page = app.until_page("release", release).await;
    server.settle().await;
    assert_eq!(server.docker().build_containers(&server.id().await).await, []);
    // With several instances another one may answer, but never another release.
    let again = app.page().await;
    assert_eq!((&again["release"], &again["version"]), (&page["release"], &page["version"]));
    page
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
