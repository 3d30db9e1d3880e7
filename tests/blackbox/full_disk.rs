//! A disk that is full: nothing new can be done, what serves goes on, and afterwards nothing is broken.

use std::fs::{self, File};
use std::io::Write;

use serde_json::json;

use crate::support::{LONG, Load, Options, Slipway, wait_until};

/// Of the file system that everything of the server is on.
pub const DISK: u64 = 64 << 20;

/// Takes all the room that there is.
pub fn fill(server: &Slipway) -> std::path::PathBuf {
    let path = server.data_dir().join("ballast");
    let mut ballast = File::create(&path).unwrap();
    for piece in [1 << 20, 4096, 1] {
        while ballast.write_all(&vec![0; piece]).is_ok() {}
    }
    path
}

#[tokio::test]
async fn a_full_disk_stops_changes_and_nothing_that_serves() {
    let options = Options::default().env("SLIPWAY_MIN_FREE_DISK", "0").disk(DISK);
    let server = Slipway::start_with(options).await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let load = Load::on(&app);
    load.flows().await;

    server.may_log_errors();
    let ballast = fill(&server);
    repo.commit_file("VERSION", "2\n");
    app.push(&repo).await.failed();
    let config = owner.post(&app.path("/config"), &json!({ "values": { "A": "1" } })).await;
    assert!(config.status >= 500, "{} {}", config.line(), config.text);
    // What is there is read, and served.
    assert_eq!(app.versions().await, [2, 1]);
    load.flows().await;
    let failures = load.stop().await;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // Not even a start needs room for what it has.
    server.kill9().await;
    server.restart().await;
    assert_eq!(app.page().await["version"], "1");

    fs::remove_file(ballast).unwrap();
    wait_until("a push is taken again", LONG, async || {
        let pushed = owner.git(&repo, &["push", &app.remote(), "HEAD:main"]).await;
        if pushed.code == Some(0) { Ok(()) } else { Err(pushed.output()) }
    })
    .await;
    assert_eq!((app.page().await["version"].as_str(), app.versions().await), (Some("2"), vec![3, 2, 1]));
    assert_eq!(app.set(&json!({ "A": "1" })).await, 4);
}
