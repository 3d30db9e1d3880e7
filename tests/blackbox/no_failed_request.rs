//! A client that never stops asking, through everything that replaces instances.

use std::time::Duration;

use serde_json::json;

use crate::support::{App, LONG, Load, Slipway, wait_until};

#[tokio::test]
async fn push_config_rollback_and_scale_fail_no_request() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let load = Load::on(&app);
    flows(&load).await;

    repo.commit_file("VERSION", "2\n");
    app.push(&repo).await.succeeded();
    assert_serves(&app, "v3", "2").await;
    flows(&load).await;

    assert_eq!(app.set(&json!({ "GREETING": "hi" })).await, 4);
    assert_serves(&app, "v4", "2").await;
    flows(&load).await;

    let rollback = app.post("/releases/rollback", &json!({ "version": 2 })).await.expect(201);
    assert_eq!(rollback.json(), json!({ "version": 5 }));
    assert_serves(&app, "v5", "1").await;
    flows(&load).await;

    for count in [3, 1] {
        app.scale(&json!({ "cmd": count })).await;
        flows(&load).await;
    }

    // An app that takes three seconds to boot gets no request before it listens.
    repo.become_app("docker-slow-boot");
    app.push(&repo).await.succeeded();
    flows(&load).await;

    let answered = load.answered();
    let failures = load.stop().await;
    assert!(failures.is_empty(), "{} of {answered} requests failed:\n{}", failures.len(), failures.join("\n"));
    assert!(answered > 500, "only {answered} requests were answered, which proves little");
}

async fn assert_serves(app: &App<'_>, release: &str, version: &str) {
    let page = app.page().await;
    assert_eq!((page["release"].as_str(), page["version"].as_str()), (Some(release), Some(version)), "{page}");
}

/// Waits until requests have been answered for a while at the present state.
async fn flows(load: &Load) {
    let enough = load.answered() + 40;
    wait_until("requests go on", LONG, async || {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if load.answered() >= enough { Ok(()) } else { Err(format!("{} answered", load.answered())) }
    })
    .await;
}
