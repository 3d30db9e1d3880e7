//! Instances that end by themselves, or are ended behind Slipway's back, come back.

use crate::support::{App, LONG, SHORT, Slipway, wait_until};

/// Waits until the app's only instance runs in another container than `before`, and serves.
async fn until_replaced(app: &App<'_>, before: &str) {
    wait_until("another container runs", LONG, async || {
        let containers = app.containers().await;
        match &containers[..] {
            [container] if container.id != before && container.is_running => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    app.until_page("release", "v2").await;
}

async fn until_logged(app: &App<'_>, text: &str) {
    wait_until(&format!("the app's log says '{text}'"), SHORT, async || {
        let lines = app.logs().await;
        if lines.iter().any(|line| line.contains(text)) { Ok(()) } else { Err(lines.join("\n")) }
    })
    .await;
}

#[tokio::test]
async fn a_killed_and_a_removed_container_come_back() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    let first = app.container().await;
    server.docker().kill(&first.id).await;
    until_replaced(&app, &first.id).await;
    until_logged(&app, "cmd.1 was ended by signal 9").await;

    let second = app.container().await;
    assert_eq!(second.instance, first.instance, "it is still the same instance");
    server.docker().remove(&second.id).await;
    until_replaced(&app, &second.id).await;
    until_logged(&app, "cmd.1 has no container any more").await;
    assert_eq!(app.versions().await, [2, 1], "supervision makes no release");
}

#[tokio::test]
async fn an_app_that_keeps_crashing_is_restarted_with_growing_pauses() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    for (code, pause) in [(3, 1), (4, 2)] {
        let before = app.container().await.id;
        app.ask(&format!("/exit?code={code}")).await.expect(200);
        until_logged(&app, &format!("cmd.1 exited with status {code}; starting it again in {pause} s")).await;
        until_replaced(&app, &before).await;
    }
    until_logged(&app, "told to exit with code 3").await;
}

#[tokio::test]
async fn a_dead_instance_among_others_gets_no_requests() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    app.scale(&serde_json::json!({ "cmd": 2 })).await;
    let victim = app.containers().await.remove(0);
    server.docker().kill(&victim.id).await;
    until_logged(&app, "was ended by signal 9").await;
    for _ in 0..50 {
        app.ask("/").await.expect(200);
    }
    wait_until("both instances run again", LONG, async || {
        let containers = app.containers().await;
        let running = containers.iter().filter(|container| container.is_running).count();
        if running == 2 { Ok(()) } else { Err(format!("{containers:?}")) }
    })
    .await;
}
