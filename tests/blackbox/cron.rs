//! Scheduled commands: pushed, listed, run, found again after a crash, and gone with their app.

use serde_json::{Value, json};

use crate::support::{App, Container, LONG, Repo, SHORT, Slipway, wait_until};

/// Goes on until somebody makes a file in its container.
const LONG_COMMAND: &str = "echo begun $SLIPWAY_CRON_RUN; until test -e /tmp/go; do sleep 0.1; done; echo done; exit 7";

fn write(repo: &Repo, cron: &Value) {
    repo.commit_file("app.json", &json!({ "cron": cron }).to_string());
}

/// The tasks as the API lists them.
async fn tasks(app: &App<'_>) -> Vec<Value> {
    app.get("/cron").await["results"].as_array().expect("a list").clone()
}

async fn last_run(app: &App<'_>, id: &str) -> Value {
    let found = tasks(app).await.into_iter().find(|task| task["id"] == id);
    found.unwrap_or_else(|| panic!("no task {id}"))["last_run"].clone()
}

/// Waits until the newest run of a task is in that state.
async fn until_state(app: &App<'_>, id: &str, state: &str) -> Value {
    wait_until(&format!("{id} is {state}"), LONG, async || {
        let run = last_run(app, id).await;
        if run["state"] == state { Ok(run) } else { Err(run.to_string()) }
    })
    .await
}

async fn run_now(app: &App<'_>, id: &str) -> Value {
    app.post(&format!("/cron/{id}/run"), &json!({})).await.expect(201).json()
}

/// Containers of runs, in the engine.
async fn containers(app: &App<'_>) -> Vec<Container> {
    let server = app.user.server;
    let labels = [format!("io.slipway.server={}", server.id().await), format!("io.slipway.app-name={}", app.name)];
    server.docker().containers(&[&labels[0], &labels[1], "io.slipway.one-off", "io.slipway.process=cron"]).await
}

async fn the_one(app: &App<'_>) -> Container {
    let found = containers(app).await;
    let [container] = &found[..] else { panic!("not one container: {found:?}") };
    container.clone()
}

async fn until_none(app: &App<'_>) {
    wait_until("no container of a run is left", SHORT, async || {
        let found = containers(app).await;
        if found.is_empty() { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

/// Whether that worked is seen by the end of the run: it may end, and this with it, before the engine has told its status.
fn let_go(container: &Container) {
    let done = std::process::Command::new("docker").args(["exec", &container.id, "touch", "/tmp/go"]).output();
    done.expect("docker is installed");
}

fn count(lines: &[String], text: &str) -> usize {
    lines.iter().filter(|line| line.contains(text)).count()
}

async fn until_logged(app: &App<'_>, text: &str) {
    wait_until(&format!("the log says '{text}'"), SHORT, async || {
        let lines = app.logs().await;
        if count(&lines, text) > 0 { Ok(()) } else { Err(lines.join("\n")) }
    })
    .await;
}

fn schedule() -> Value {
    json!([
        {"id": "long", "command": LONG_COMMAND, "schedule": "0 0 1 1 *", "concurrency_policy": "forbid"},
        {"command": "job $SLIPWAY_CRON_TASK", "schedule": "@yearly", "timezone": "Europe/Berlin", "id": "berlin"},
        {"id": "paused", "command": "true", "schedule": "* * * * *", "maintenance": true},
    ])
}

#[tokio::test]
async fn the_schedule_is_part_of_what_is_pushed() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("timed").await, Repo::of("docker-web"));
    assert_eq!(tasks(&app).await, Vec::<Value>::new());
    repo.write("Procfile", "cmd: python3 server.py\njob: echo the job says\n");
    write(&repo, &json!([{"command": "true", "schedule": "@daily"}, {"command": "true", "schedule": "99 * * * *"}]));
    app.push(&repo).await.failed().says(&[
        "app.json: cron[1].schedule: the minute '99' is not one; give *, or numbers from 0 to 59",
        "correct it, commit and push again",
    ]);
    write(&repo, &schedule());
    let pushed = app.push(&repo).await.succeeded();
    pushed.says(&["-----> Scheduled commands", "berlin: @yearly (Europe/Berlin)", "paused: * * * * * (UTC, paused)"]);
    let listed = tasks(&app).await;
    let member = |name: &str| listed.iter().map(|task| task[name].clone()).collect::<Vec<_>>();
    assert_eq!(member("id"), ["long", "berlin", "paused"]);
    assert_eq!(member("schedule"), ["0 0 1 1 *", "@yearly", "* * * * *"]);
    assert_eq!(member("timezone"), ["UTC", "Europe/Berlin", "UTC"]);
    assert_eq!(member("concurrency_policy"), ["forbid", "allow", "allow"]);
    assert_eq!(member("maintenance"), [json!(false), json!(false), json!(true)]);
    assert_eq!(member("last_run"), [Value::Null, Value::Null, Value::Null]);
    let next = |index: usize| listed[index]["next_run"].as_str().unwrap_or_default().to_owned();
    assert!(next(0).ends_with("-01-01T00:00:00UTC") && next(1).ends_with("-12-31T23:00:00UTC"), "{listed:?}");
    assert_eq!(listed[2]["next_run"], Value::Null);

    // A first word that is a process type stands for its command.
    let run = run_now(&app, "berlin").await;
    assert_eq!((&run["process"], &run["due"]), (&json!("cron.1"), &Value::Null));
    let run = until_state(&app, "berlin", "succeeded").await;
    assert_eq!((&run["exit_status"], &run["release"]), (&json!(0), &json!("v2")));
    for text in [
        "[cron.1]: the job says berlin",
        "deis[cron]: owner runs 'berlin' now: cron.1",
        "deis[cron]: cron.1 ('berlin') ended with status 0",
    ] {
        until_logged(&app, text).await;
    }
    let refused = app.post("/cron/paused/run", &json!({})).await.expect(400);
    assert!(refused.text.contains("is paused"), "{}", refused.text);
    app.post("/cron/nothing/run", &json!({})).await.expect(404);
    let stranger = server.stranger().await;
    assert_eq!(stranger.get(&app.path("/cron")).await.status, 404);
    assert_eq!(stranger.post(&app.path("/cron/berlin/run"), &json!({})).await.status, 404);

    // What runs goes on over a release that has no such task; a rollback brings the schedule back.
    run_now(&app, "long").await;
    until_state(&app, "long", "running").await;
    let before = the_one(&app).await;
    let refused = app.post("/cron/long/run", &json!({})).await.expect(409);
    assert!(refused.text.contains("cron.2 still runs"), "{}", refused.text);
    write(&repo, &json!([]));
    app.push(&repo).await.succeeded();
    assert_eq!(tasks(&app).await, Vec::<Value>::new());
    app.post("/cron/long/run", &json!({})).await.expect(404);
    assert_eq!(the_one(&app).await.id, before.id);
    app.post("/releases/rollback", &json!({ "version": 2 })).await.expect(201);
    assert_eq!(tasks(&app).await.len(), 3);
    assert_eq!(last_run(&app, "long").await["state"], "running");
    let_go(&before);
    assert_eq!(until_state(&app, "long", "failed").await["exit_status"], 7);
    until_none(&app).await;

    // Another owner ends them, and so does the end of the app.
    run_now(&app, "long").await;
    until_state(&app, "long", "running").await;
    owner.post(&app.path(""), &json!({ "owner": "stranger" })).await.expect(200);
    until_none(&app).await;
    let app = App { user: &stranger, name: app.name.clone() };
    let run = until_state(&app, "long", "cancelled").await;
    assert_eq!(run["detail"], "the app was given to somebody else");
    run_now(&app, "long").await;
    until_state(&app, "long", "running").await;
    stranger.delete(&app.path("")).await.expect(204);
    assert_eq!(containers(&app).await, []);
}

#[tokio::test]
async fn a_run_is_neither_lost_nor_doubled_by_an_end_of_the_server() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("timed").await, Repo::of("docker-web"));
    write(&repo, &schedule());
    app.push(&repo).await.succeeded();

    // It goes on while nobody is there, over a crash and over a stop, and its end is seen.
    run_now(&app, "long").await;
    until_state(&app, "long", "running").await;
    until_logged(&app, "begun cron.1").await;
    let before = the_one(&app).await;
    server.kill9().await;
    server.restart().await;
    assert_eq!(the_one(&app).await.id, before.id);
    server.stop().await;
    assert!(the_one(&app).await.is_running);
    server.restart().await;
    server.take_over().await;
    assert_eq!(until_state(&app, "long", "running").await["process"], "cron.1");
    assert_eq!(the_one(&app).await.id, before.id);
    let_go(&before);
    assert_eq!(until_state(&app, "long", "failed").await["exit_status"], 7);
    until_none(&app).await;

    // It ends while nobody is there.
    run_now(&app, "long").await;
    until_state(&app, "long", "running").await;
    let container = the_one(&app).await;
    server.kill9().await;
    let_go(&container);
    wait_until("it has ended", SHORT, async || {
        let container = the_one(&app).await;
        if container.is_running { Err(format!("{container:?}")) } else { Ok(()) }
    })
    .await;
    server.restart().await;
    let run = until_state(&app, "long", "failed").await;
    assert_eq!((&run["process"], &run["exit_status"]), (&json!("cron.2"), &json!(7)));
    until_none(&app).await;
    // The end is the last that is said of a run: whatever would be said twice is there by then.
    let lines = wait_until("the log has both ends", SHORT, async || {
        let lines = app.logs().await;
        if count(&lines, "('long') ended") >= 2 { Ok(lines) } else { Err(lines.join("\n")) }
    })
    .await;
    let name = &app.name;
    for number in 1..=2 {
        for text in [
            format!("{name}[cron.{number}]: begun cron.{number}"),
            format!("{name}[cron.{number}]: done"),
            format!("deis[cron]: cron.{number} ('long') ended with status 7"),
        ] {
            assert_eq!(count(&lines, &text), 1, "'{text}' in:\n{}", lines.join("\n"));
        }
    }
    assert_eq!(count(&lines, "begins on"), 2, "{}", lines.join("\n"));
}
