//! Access that was taken away is gone, whatever was begun with it.

use std::time::Duration;

use serde_json::json;

use super::alice_and_bob;
use crate::support::{KeyKind, Repo, SHORT, Slipway, Tutum, User, wait_until};

/// Longest that what was begun with access may outlive it, with room for a busy machine.
const BOUND: Duration = Duration::from_secs(15);

#[tokio::test]
async fn what_a_removed_collaborator_had_begun_ends() {
    let server = Slipway::start().await;
    let (alice, bob) = alice_and_bob(&server).await;
    let (app, _repo) = alice.serving("docker-web").await;
    app.post("/perms", &json!({ "username": "bob" })).await.expect(201);
    bob.post(&app.path("/log-drains"), &json!({ "url": "https://logs.example.com/bob" })).await;

    let path = app.path("/logs?follow=true&log_lines=1");
    let mut followed = bob.request(reqwest::Method::GET, &path).send().await.expect("it answers");
    let (run, command) = (app.path("/run"), json!({ "command": "sleep 600; env" }));
    let one_off = bob.post(&run, &command);
    let taken_away = async {
        wait_until("the one-off runs", SHORT, async || {
            let list = app.get("/containers/run").await;
            if list["count"] == 1 { Ok(()) } else { Err(list.to_string()) }
        })
        .await;
        alice.delete(&app.path("/perms/bob")).await.expect(204);
        let ended = tokio::time::timeout(BOUND, async { while let Ok(Some(_)) = followed.chunk().await {} });
        ended.await.expect("bob's stream ends");
    };
    let ran = tokio::time::timeout(Duration::from_secs(120), async { tokio::join!(one_off, taken_away) });
    let (ran, ()) = ran.await.expect("the one-off ends");
    assert_eq!(ran.status, 403, "{ran:?}");
    assert!(!ran.text.contains("PATH"), "{ran:?}");
    assert_eq!(app.get("/log-drains").await["count"], 0);
}

#[tokio::test]
async fn a_push_that_waited_or_builds_is_called_off_with_the_access() {
    let server = Slipway::start().await;
    let (alice, bob) = alice_and_bob(&server).await;
    let (app, repo) = alice.serving("docker-web").await;
    app.post("/perms", &json!({ "username": "bob" })).await.expect(201);
    let his = Repo::of("docker-slow-build");
    let building = bob.start_git(&his, &["push", "--force", &bob.remote(&app.name), "HEAD:refs/heads/main"]);
    wait_until("bob's push builds", SHORT, async || {
        let found = server.rows("SELECT step FROM operations WHERE kind = 'push' AND status = 'running'").await;
        if found == ["build"] { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    let waiting = bob.start_git(&his, &["push", "--force", &bob.remote(&app.name), "HEAD:refs/heads/master"]);
    let before = app.versions().await;
    alice.delete(&app.path("/perms/bob")).await.expect(204);
    building.finish().await.failed().says(&["to this app was taken away"]);
    waiting.finish().await.failed();
    assert_eq!(app.versions().await, before);
    assert_eq!(app.page().await["version"], "1");
    app.push(&repo).await.succeeded();
}

#[tokio::test]
async fn an_open_connection_is_of_no_use_without_its_key() {
    let server = Slipway::start().await;
    let (alice, _bob) = alice_and_bob(&server).await;
    let (app, _repo) = alice.serving("docker-web").await;
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("master");
    let control = format!("ControlPath={}", socket.display());
    let options = ["-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-o", &control];
    let clone = format!("git-upload-pack '{}.git'", app.name);
    alice.ssh(&options, &["hello"]).await.failed().says(&["Hi alice"]);
    assert!(socket.exists(), "the connection is kept");
    alice.delete("/keys/laptop").await.expect(204);
    let answer = alice.ssh(&options, &[&clone]).await.failed();
    assert!(!answer.output().contains("refs/heads/main"), "{}", answer.output());
    // The master, if it is still there, ends with its socket's folder.
    let mut stop = std::process::Command::new("ssh");
    stop.args(["-o", &control, "-O", "exit", "nobody@localhost"]);
    let _ = stop.output();
}

#[tokio::test]
async fn git_that_runs_ends_with_the_key_or_the_access() {
    let server = Slipway::start().await;
    let (alice, bob) = alice_and_bob(&server).await;
    let (app, repo) = alice.serving("docker-web").await;
    app.post("/perms", &json!({ "username": "bob" })).await.expect(201);
    // Git waits for what this client wants, and would for as long as the client likes.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let reading = bob.start_ssh_reading(&[], &[&format!("git-upload-pack '{}.git'", app.name)], reader.into());
    let his = Repo::of("docker-slow-build");
    let pushing = alice.start_git(&his, &["push", "--force", &app.remote(), "HEAD:refs/heads/main"]);
    wait_until("the push builds", SHORT, async || {
        let found = server.rows("SELECT step FROM operations WHERE kind = 'push' AND status = 'running'").await;
        if found == ["build"] { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    let before = app.versions().await;
    alice.delete("/keys/laptop").await.expect(204);
    alice.delete(&app.path("/perms/bob")).await.expect(204);
    reading.finish_within(BOUND).await.failed().says(&["Access to this app was taken away"]);
    drop(writer);
    pushing.finish_within(BOUND).await.failed();
    assert_eq!(app.versions().await, before);
    assert_eq!(app.page().await["version"], "1");
    alice.add_key("desktop", &alice.key.public).await.expect(201);
    app.push(&repo).await.succeeded();
}

#[tokio::test]
async fn what_an_administrator_began_ends_with_the_office() {
    let server = Slipway::start().await;
    let admin = server.admin().await;
    let alice = User::register(&server, "alice", KeyKind::Ed25519).await;
    let bob = User::register(&server, "bob", KeyKind::Ed25519).await;
    let (app, _repo) = alice.serving("docker-web").await;
    admin.post("/admin/perms", &json!({ "username": "bob" })).await.expect(201);
    let path = app.path("/logs?follow=true");
    let mut followed = bob.request(reqwest::Method::GET, &path).send().await.expect("it answers");
    admin.delete("/admin/perms/bob").await.expect(204);
    let ended = tokio::time::timeout(BOUND, async { while let Ok(Some(_)) = followed.chunk().await {} });
    ended.await.expect("bob's stream ends");
    bob.get(&app.path("/logs")).await.expect(404);
}

#[tokio::test]
async fn another_password_ends_what_was_signed_in_with_the_old_one() {
    let server = Slipway::start().await;
    let (mut alice, _bob) = alice_and_bob(&server).await;
    let tutum = Tutum::of(&alice).await;
    tutum.get("/application/").await.expect(200);
    let (old, app) = (alice.token.clone(), alice.create("hers").await.name);
    let path = format!("/apps/{app}/logs?follow=true");
    let mut followed = alice.request(reqwest::Method::GET, &path).send().await.expect("it answers");
    let change = json!({ "password": alice.password, "new_password": "another one" });
    alice.post("/auth/passwd", &change).await.expect(200);
    alice.get("/apps").await.expect(401);
    tutum.get("/application/").await.expect(401);
    let ended = tokio::time::timeout(BOUND, async { while let Ok(Some(_)) = followed.chunk().await {} });
    ended.await.expect("her stream of before ends");
    alice.password = "another one".to_owned();
    alice.log_in().await;
    assert_ne!(alice.token, old);
    alice.get("/apps").await.expect(200);

    // On the host, by another process.
    server.cli(&["user", "reset-password", "alice"], &[]).await.succeeded();
    wait_until("her token is worth nothing", BOUND, async || match alice.get("/apps").await.status {
        401 => Ok(()),
        status => Err(format!("{status}")),
    })
    .await;
}

#[tokio::test]
async fn what_a_container_was_granted_ends_when_its_application_is_given_away() {
    let server = Slipway::start().await;
    let (alice, bob) = alice_and_bob(&server).await;
    let his = Tutum::of(&bob).await;
    let image = server.foreign_image("docker-web").await;
    let made = his.running(&image, "granted", json!({ "roles": ["global"] })).await;
    let listed = bob.get("/apps").await.expect(200).json();
    let name = listed["results"][0]["id"].as_str().expect("the application is an app").to_owned();
    let containers = bob.app(&name).containers().await;
    let told = server.docker().exec(&containers[0].id, &["printenv", "TUTUM_AUTH"]).await;
    let key = told.trim().split_once(':').expect("a user and a key").1.to_owned();
    let inside = Tutum { server: &server, name: "bob".to_owned(), key };
    inside.get("/application/").await.expect(200);
    bob.post(&format!("/apps/{name}"), &json!({ "owner": "alice" })).await.expect(200);
    // It is neither bob's nor alice's: the container knows what it was told, and it is alice's now.
    inside.get("/application/").await.expect(401);
    inside.get(crate::support::uri(&made)).await.expect(401);
    assert_eq!(alice.app(&name).get("").await["owner"], "alice");
}
