//! A client that never stops asking, through everything that replaces instances.

use serde_json::json;

use crate::support::{App, Load, Slipway};

#[tokio::test]
async fn push_config_rollback_and_scale_fail_no_request() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let load = Load::on(&app);
    load.flows().await;

    repo.commit_file("VERSION", "2\n");
    app.push(&repo).await.succeeded();
    assert_serves(&app, "v3", "2").await;
    load.flows().await;

    assert_eq!(app.set(&json!({ "GREETING": "hi" })).await, 4);
    assert_serves(&app, "v4", "2").await;
    load.flows().await;

    let rollback = app.post("/releases/rollback", &json!({ "version": 2 })).await.expect(201);
    assert_eq!(rollback.json(), json!({ "version": 5 }));
    assert_serves(&app, "v5", "1").await;
    load.flows().await;

    for count in [3, 1] {
        app.scale(&json!({ "cmd": count })).await;
        load.flows().await;
    }

    // An app that takes three seconds to boot gets no request before it listens.
    repo.become_app("docker-slow-boot");
    app.push(&repo).await.succeeded();
    load.flows().await;

    let answered = load.answered();
    let failures = load.stop().await;
    assert!(failures.is_empty(), "{} of {answered} requests failed:\n{}", failures.len(), failures.join("\n"));
    assert!(answered > 500, "only {answered} requests were answered, which proves little");
}

#[tokio::test]
async fn twenty_changes_in_a_row_fail_no_exchange_of_any_kind() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let load = Load::of_every_kind(&app);
    load.flows().await;
    for round in 1..=4 {
        repo.commit_file("VERSION", &format!("{}\n", round + 1));
        app.push(&repo).await.succeeded();
        app.set(&json!({ "ROUND": round })).await;
        app.scale(&json!({ "cmd": 2 })).await;
        let back = app.versions().await[0] - 1;
        app.post("/releases/rollback", &json!({ "version": back })).await.expect(201);
        app.scale(&json!({ "cmd": 1 })).await;
        load.flows().await;
    }
    let answered = load.answered();
    let failures = load.stop().await;
    assert!(failures.is_empty(), "{} of {answered} exchanges failed:\n{}", failures.len(), failures.join("\n"));
    assert!(answered > 500, "only {answered} exchanges were answered, which proves little");
}

async fn assert_serves(app: &App<'_>, release: &str, version: &str) {
    let page = app.page().await;
    assert_eq!((page["release"].as_str(), page["version"].as_str()), (Some(release), Some(version)), "{page}");
}
