//! Schedules of two tenants, by the real clock.

use std::time::Duration;

use serde_json::{Value, json};

use super::alice_and_bob;
use crate::support::{App, Options, Repo, Slipway, User, wait_until};

/// Serves with these tasks.
async fn scheduled<'a>(owner: &'a User<'a>, name: &str, tasks: &[Value]) -> App<'a> {
    let (app, repo) = (owner.create(name).await, Repo::of("docker-web"));
    repo.commit_file("app.json", &json!({ "cron": tasks }).to_string());
    app.push(&repo).await.succeeded();
    app
}

fn task(id: usize, command: &str) -> Value {
    json!({"id": format!("task-{id}"), "command": command, "schedule": "* * * * *"})
}

async fn runs(app: &App<'_>, state: &str) -> usize {
    let tasks = app.get("/cron").await;
    let tasks = tasks["results"].as_array().expect("a list").iter();
    tasks.filter(|task| task["last_run"]["state"] == state).count()
}

#[tokio::test]
async fn bobs_schedules_do_not_hold_alices_up() {
    let server = Slipway::start_with(Options::default().env("SLIPWAY_QUOTAS", "cron-runs=2")).await;
    let (alice, bob) = alice_and_bob(&server).await;
    let many: Vec<Value> = (0..50).map(|id| task(id, "sleep 600")).collect();
    let his = [scheduled(&bob, "his", &many).await, scheduled(&bob, "more", &many).await];
    let hers = scheduled(&alice, "hers", &[task(0, "echo on time")]).await;
    let run = wait_until("alice's task has run", Duration::from_secs(100), async || {
        let tasks = hers.get("/cron").await;
        let run = tasks["results"][0]["last_run"].clone();
        if run["state"] == "succeeded" { Ok(run) } else { Err(run.to_string()) }
    })
    .await;
    // Of bob's two run, and the others wait in a queue of his own.
    wait_until("bob's are at work", Duration::from_secs(70), async || {
        let (running, waiting) =
            (runs(&his[0], "running").await + runs(&his[1], "running").await, runs(&his[0], "waiting").await);
        if running == 2 && waiting >= 40 { Ok(()) } else { Err(format!("{running} running, {waiting} waiting")) }
    })
    .await;
    let second = |name: &str| run[name].as_str().expect("a time")[17..19].parse::<u32>().expect("seconds");
    assert_eq!(second("due"), 0, "{run}");
    assert!(second("ended") < 30, "it did not wait for bob's: {run}");
    let used = bob.get("/quotas").await.expect(200).json()["quotas"]["cron-runs"].clone();
    assert_eq!((&used["used"], &used["limit"]), (&json!(2), &json!(2)));
    // What waits longer than to the next minute is left out, and does not pile up.
    // It is said of the first in the queue, which is either app's.
    wait_until("the log says what they wait for", Duration::from_secs(30), async || {
        let log = [his[0].logs().await, his[1].logs().await].concat().join("\n");
        if log.contains("waits: bob has 2 of 2 scheduled commands at once") { Ok(()) } else { Err(log) }
    })
    .await;

    // Nobody sees or runs another's.
    for answer in [bob.get(&hers.path("/cron")).await, bob.post(&hers.path("/cron/task-0/run"), &json!({})).await] {
        assert_eq!(answer.status, 404, "{answer:?}");
        assert!(!answer.text.contains("on time"), "{answer:?}");
    }
    let label = format!("io.slipway.server={}", server.id().await);
    for app in &his {
        bob.delete(&app.path("")).await.expect(204);
        let left = server.docker().containers(&[&label, &format!("io.slipway.app-name={}", app.name)]).await;
        assert_eq!(left, []);
    }
}
