//! What one tenant can write: containers, one-offs, builds, and the last of the disk.

use std::time::Duration;

use serde_json::json;

use super::alice_and_bob;
use crate::support::{App, Options, Repo, Slipway, User, wait_until};

const PATIENCE: Duration = Duration::from_secs(90);

/// Comes up, writes so many MiB to a file and stays.
fn fills(mebibytes: u32) -> String {
    format!("sleep 5; head -c {mebibytes}M /dev/zero > /tmp/fill; sleep 600")
}

/// The sample app beside a process type that writes.
fn filling(mebibytes: u32) -> Repo {
    let repo = Repo::of("docker-web");
    repo.commit_file("Procfile", &format!("web: python3 /srv/server.py\nfill: {}\n", fills(mebibytes)));
    repo
}

/// Ids of the containers of one process type.
async fn ids(app: &App<'_>, process: &str) -> Vec<String> {
    app.containers_of(process).await.into_iter().map(|container| container.id).collect()
}

async fn says_of_disk(app: &App<'_>, words: &str) {
    wait_until("the log says who was ended for what", PATIENCE, async || {
        let log = app.logs().await;
        if log.iter().any(|line| line.contains("[disk]") && line.contains(words)) {
            Ok(())
        } else {
            Err(log.join("\n"))
        }
    })
    .await;
}

async fn used(user: &User<'_>) -> u64 {
    user.get("/quotas").await.expect(200).json()["quotas"]["disk"]["used"].as_u64().expect("a number")
}

#[tokio::test]
async fn who_writes_more_than_the_account_may_is_ended_and_nobody_else() {
    let server = Slipway::start_with(Options::default().env("SLIPWAY_QUOTAS", "disk=200MiB")).await;
    let (alice, bob) = alice_and_bob(&server).await;
    let hers = alice.create("alice").await;
    hers.push(&filling(100)).await.succeeded();
    hers.scale(&json!({ "fill": 1 })).await;
    let his = bob.create("bob").await;
    his.push(&filling(400)).await.succeeded();
    let (web, untouched) = (ids(&his, "web").await, ids(&hers, "fill").await);
    his.scale(&json!({ "fill": 1 })).await;
    says_of_disk(&his, "of 200 MiB disk for containers and builds: ask an administrator").await;
    // What it wrote goes with its container, and the quota is per account, not per server.
    his.post("/scale", &json!({ "fill": 0 })).await.expect(204);
    wait_until("the space is free again", PATIENCE, async || match used(&bob).await {
        small if small < 100 << 20 => Ok(()),
        large => Err(large.to_string()),
    })
    .await;
    assert_eq!(ids(&his, "web").await, web);
    assert_eq!(ids(&hers, "fill").await, untouched);
    wait_until("alice's use is shown", PATIENCE, async || match used(&alice).await {
        bytes if bytes >= 100 << 20 => Ok(()),
        small => Err(small.to_string()),
    })
    .await;
    assert!(!hers.logs().await.iter().any(|line| line.contains("[disk]")));

    let ran = his.post("/run", &json!({ "command": fills(400) })).await.expect(200).json();
    assert_eq!(ran[0], 143, "{ran}");
}

#[tokio::test]
async fn a_build_that_writes_more_than_the_account_may_is_ended() {
    let server = Slipway::start_with(Options::default().env("SLIPWAY_QUOTAS", "disk=200MiB")).await;
    let (alice, bob) = alice_and_bob(&server).await;
    // Each step alone is within the quota, and nothing of it would be in the image.
    let steps = "head -c 120M /dev/zero > /tmp/fill && sleep 12 && rm /tmp/fill";
    let dockerfile = format!(
        "FROM slipway/stack:slipway-12-run\nRUN {steps}\nRUN {steps} # again\nRUN sleep 60\nCMD [\"sleep\", \"9\"]\n"
    );
    let build = serde_json::to_string(&fills(400)).expect("a text");
    let package = format!("{{\"name\": \"fill\", \"scripts\": {{\"build\": {build}}}}}");
    for files in [
        vec![("Dockerfile", dockerfile.as_str())],
        vec![("package.json", package.as_str()), ("Procfile", "web: true\n")],
    ] {
        let app = bob.create("bob").await;
        let repo = Repo::empty();
        for (name, text) in files {
            repo.write(name, text);
        }
        repo.commit("Fill the disk");
        app.push(&repo).await.failed().says(&["of 200 MiB disk for containers and builds"]);
        assert_eq!(app.versions().await.len(), 1);
        says_of_disk(&app, "the build is ended").await;
    }
    let (hers, _) = alice.serving("docker-web").await;
    assert!(!hers.logs().await.iter().any(|line| line.contains("[disk]")));
}

#[tokio::test]
async fn who_takes_the_last_of_the_disk_is_ended_and_the_others_are_not() {
    // Others write to the disk of this machine meanwhile: the reserve may be short now and then without bob.
    let free =
        rustix::fs::statvfs("/var/lib/docker").map(|found| found.f_bavail * found.f_frsize).expect("the engine's disk");
    let reserve = (free - (512 << 20)).to_string();
    let unlimited = || Options::default().env("SLIPWAY_QUOTAS", "disk=unlimited");
    let server = Slipway::start_with(unlimited()).await;
    let (alice, bob) = alice_and_bob(&server).await;
    let hers = alice.create("alice").await;
    hers.push(&filling(100)).await.succeeded();
    hers.scale(&json!({ "fill": 1 })).await;
    let his = bob.create("bob").await;
    his.push(&filling(6000)).await.succeeded();
    server.stop().await;
    server.restart_with(unlimited().env("SLIPWAY_MIN_FREE_DISK", &reserve)).await;
    let untouched = ids(&hers, "fill").await;
    his.scale(&json!({ "fill": 1 })).await;
    says_of_disk(&his, "there is too little room on the server's disk").await;
    his.post("/scale", &json!({ "fill": 0 })).await.expect(204);
    assert_eq!(ids(&hers, "fill").await, untouched);
    assert!(!hers.logs().await.iter().any(|line| line.contains("[disk]")));
}
