//! An upgrade of Slipway itself: a new process takes over the sockets of the one that serves.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{LONG, Load, Options, SHORT, Slipway, wait_until};

#[tokio::test]
async fn an_upgrade_fails_no_request_and_the_new_server_does_everything() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let before = server.addresses();
    // A request that takes longer than the old server lives otherwise.
    let mut slow = TcpStream::connect(before.http).await.unwrap();
    let request = format!("GET /slow?ms=4000 HTTP/1.1\r\nHost: {}.localhost\r\nConnection: close\r\n\r\n", app.name);
    slow.write_all(request.as_bytes()).await.unwrap();
    let load = Load::on(&app);
    for _ in 0..3 {
        load.flows().await;
        server.take_over().await;
        let after = server.addresses();
        assert_eq!(
            (after.api, after.ssh, after.http, after.https),
            (before.api, before.ssh, before.http, before.https)
        );
    }
    let mut answer = String::new();
    tokio::time::timeout(SHORT, slow.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // The new one has the API, git, the database and the engine.
    repo.commit_file("VERSION", "2\n");
    app.push(&repo).await.succeeded().says(&[":v3 deployed to Slipway"]);
    assert_eq!(app.page().await["version"], "2");
    load.flows().await;
    let answered = load.answered();
    let failures = load.stop().await;
    assert!(failures.is_empty(), "{} of {answered} requests failed:\n{}", failures.len(), failures.join("\n"));
    assert!(answered > 200, "only {answered} requests were answered, which proves little");
    assert!(!server.log().contains("does not serve"), "{}", server.log());
}

#[tokio::test]
async fn an_upgrade_that_does_not_come_up_leaves_the_old_server() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    let (load, pid) = (Load::on(&app), server.pid());
    load.flows().await;
    let nowhere = [("SLIPWAY_DOCKER_HOST", "unix:///nowhere/docker.sock")];
    server.cli(&["serve", "--takeover"], &nowhere).await.failed().says(&["slipway doctor"]);
    wait_until("the old server has everything again", LONG, async || {
        let said = server.log();
        if said.contains("does not serve; serving again") && said.matches(" serving ").count() >= 2 {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
    load.flows().await;
    assert_eq!(app.set(&json!({ "GREETING": "still here" })).await, 3);
    assert_eq!(server.pid(), pid);
    let failures = load.stop().await;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn there_has_to_be_a_server_to_take_over_from() {
    let server = Slipway::start_with(Options::default()).await;
    server.stop().await;
    let alone = server.cli(&["serve", "--takeover"], &[]).await.failed();
    alone.says(&["no server to take over from", "without --takeover"]);
}
