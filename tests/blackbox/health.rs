//! Health: what decides whether a release is switched to, and what takes a sick instance out.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, App, LONG, Load, Options, Repo, SHORT, Slipway, wait_until};

/// Writes an `app.json` with these checks of the image's own process.
fn asks(repo: &Repo, checks: &Value) {
    repo.write("app.json", &json!({ "healthchecks": { "cmd": checks } }).to_string());
    repo.commit("Ask for health");
}

/// Adds a page `/up` to the app, and one that turns it into errors.
fn can_be_sick(repo: &Repo) {
    let pages = "def up(handler, query):\n    \
                 handler.answer({\"sick\": bool(SICK)}, HTTPStatus.INTERNAL_SERVER_ERROR if SICK else HTTPStatus.OK)\n\n\n\
                 def sicken(handler, query):\n    SICK.append(1)\n    up(handler, query)\n\n\n\
                 SICK = []\nPAGES = {\n    \"up\": up, \"sicken\": sicken,";
    repo.edit("server.py", "PAGES = {", pages);
}

#[tokio::test]
async fn app_json_decides_whether_a_release_is_healthy() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;

    asks(&repo, &json!([{ "path": "up", "attempts": 0 }]));
    let push = app.push(&repo).await.failed();
    let push = push.says(&["app.json: healthchecks.cmd[0].attempts is 0; give a whole number from 1 to 1000"]);
    assert!(!push.has("Launching"), "{}", push.output());

    let page = |content: &str| json!([{ "path": "/", "content": content, "attempts": 1, "wait": 0, "timeout": 2 }]);
    asks(&repo, &page("\"version\": \"2\""));
    app.push(&repo).await.failed().says(&[
        "cmd.1 listens on port 8000 but was not healthy within 2 s",
        "last answer: GET / answered 200 OK without '\"version\": \"2\"' in its body",
    ]);
    assert_eq!(app.page().await["release"], "v2");
    repo.commit_file("VERSION", "2\n");
    app.push(&repo).await.succeeded().says(&[":v3 deployed"]);

    // The checks belong to the build: a change of config is held to them, and the rollback to a build without them is not.
    let gone = app.post("/config", &json!({ "values": { "DEIS_APP": "x", "GREETING": "hi" } })).await.expect(201);
    assert_eq!(gone.header("X-Deis-Release"), "4");
    app.post("/releases/rollback", &json!({ "version": 2 })).await.expect(201);
    assert_eq!(app.page().await["version"], "1");
}

#[tokio::test]
async fn commands_of_app_json_and_of_the_image_decide() {
    let server = Slipway::start_with(Options::default().env("SLIPWAY_BOOT_TIMEOUT", "8s")).await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let look = "test -f /srv/ready || { echo nothing is ready; exit 3; }";
    asks(&repo, &json!([{ "command": ["sh", "-c", look], "attempts": 1, "wait": 1, "timeout": 1 }]));
    app.push(&repo).await.failed().says(&["ended with status 3, saying: nothing is ready"]);
    repo.commit_file("ready", "");
    app.push(&repo).await.succeeded().says(&[":v3 deployed"]);

    // One that hangs is ended, there too.
    asks(&repo, &json!([{ "command": "sleep 987654", "attempts": 1, "wait": 0, "timeout": 1 }]));
    app.push(&repo).await.failed().says(&["did not end in 1 s"]);
    assert_eq!(crate::support::processes_with("sleep 987654"), [""; 0]);

    repo.git(&["rm", "-q", "app.json"]);
    repo.edit("Dockerfile", "EXPOSE 8000", "EXPOSE 8000\nHEALTHCHECK --interval=50s CMD test -f /srv/fine");
    repo.commit("Ask for health in the image");
    app.push(&repo)
        .await
        .failed()
        .says(&["was not healthy within 8 s: command '/bin/sh -c test -f /srv/fine' ended with status 1"]);
    repo.commit_file("fine", "");
    let push = app.push(&repo).await.succeeded().says(&[":v4 deployed"]);
    assert!(push.took < Duration::from_secs(30), "it waited for the image's interval: {:?}", push.took);
    // HEALTHCHECK_URL goes before the image's own.
    let answer = app.post("/config", &json!({ "values": { "HEALTHCHECK_URL": "/nowhere" } })).await.expect(503);
    assert!(answer.text.contains("GET /nowhere answered 404"), "{}", answer.text);
    let answer = app.post("/config", &json!({ "values": { "HEALTHCHECK_TIMEOUT": "soon" } })).await.expect(400);
    assert!(answer.text.contains("give whole seconds from 1 to 3600"), "{}", answer.text);
}

/// Asks one instance at its container's own address.
async fn ask_at(app: &App<'_>, address: SocketAddr, path: &str) -> Answer {
    let request = app.user.server.http().get(format!("http://{address}{path}"));
    Answer::to(request, path).await.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn a_sick_instance_is_replaced_and_no_request_fails() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    can_be_sick(&repo);
    asks(&repo, &json!([{ "type": "liveness", "path": "/up", "attempts": 2, "wait": 1, "timeout": 2 }]));
    app.push(&repo).await.succeeded();
    app.scale(&json!({ "cmd": 2 })).await;
    let load = Load::on(&app);
    let before = app.containers().await;
    let sick = before[0].clone();
    let address = SocketAddr::new(sick.ip.expect("it runs"), 8000);
    ask_at(&app, address, "/sicken").await.expect(500);
    wait_until("another container runs in its place", LONG, async || {
        let now = app.containers().await;
        let is_replaced = now.len() == 2 && now.iter().all(|it| it.is_running && it.id != sick.id);
        if is_replaced { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    wait_until("the log says why", SHORT, async || {
        let log = app.logs().await.join("\n");
        let texts = ["GET /up: answered 500 Internal Server Error (2 times in a row); replacing it", "is up"];
        if texts.iter().all(|text| log.contains(text)) { Ok(()) } else { Err(log) }
    })
    .await;
    let after = app.containers().await;
    assert!(after.iter().any(|it| it.id == before[1].id), "the other one is left alone");
    assert!(after.iter().any(|it| it.instance == sick.instance), "it is still the same instance");
    let failures = load.stop().await;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn a_crash_loop_and_its_cause_are_visible() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let hungry = "def eat(handler, query):\n    bytearray(1 << 30)\n\n\nPAGES = {\n    \"eat\": eat,";
    repo.edit("server.py", "PAGES = {", hungry);
    repo.commit("Eat");
    app.push(&repo).await.succeeded();
    app.post("/config", &json!({ "memory": { "cmd": "64M" } })).await.expect(201);
    for row in
        ["ran out of memory (limit 64 MiB; exit status 137); starting it again in 1 s", "in 2 s (failure 2 in a row)"]
    {
        // Nobody answers a request that kills who was to answer it.
        let _broken = app.try_ask("/eat").await;
        wait_until("the crash is in the log and in the list", LONG, async || {
            let log = app.logs().await.join("\n");
            if log.contains(row) { Ok(()) } else { Err(log) }
        })
        .await;
        wait_until("it serves again", LONG, async || {
            let state = app.get("/containers/cmd/1").await["state"].clone();
            if state == "up" { Ok(()) } else { Err(state.to_string()) }
        })
        .await;
    }
}
