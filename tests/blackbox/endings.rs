//! How containers end: who is told, who has time, and who may be process 1.

use serde_json::json;

use crate::support::{App, LONG, Repo, SHORT, Slipway, wait_until};

/// A job that takes a second to finish.
const WORK: &str = r#"import signal, sys, time

def bye(number, frame):
    print("worker finishes its job", flush=True)
    time.sleep(1)
    print("worker done", flush=True)
    sys.exit(0)

signal.signal(signal.SIGTERM, bye)
print("worker up", flush=True)
while True:
    time.sleep(0.1)
"#;

async fn until_logged(app: &App<'_>, text: &str, times: usize) {
    wait_until(&format!("the app's log says '{text}' {times} times"), SHORT, async || {
        let lines = app.logs().await;
        let found = lines.iter().filter(|line| line.contains(text)).count();
        if found >= times { Ok(()) } else { Err(lines.join("\n")) }
    })
    .await;
}

#[tokio::test]
async fn a_worker_behind_a_script_gets_the_signal_and_the_time() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("workers").await, Repo::empty());
    repo.write("work.py", WORK);
    repo.write("work.sh", "#!/bin/bash\npython3 work.py\n");
    repo.write(
        "Procfile",
        "script: bash work.sh\nlast: python3 work.py; echo never\n\
         aside: setsid python3 work.py & wait\nplain: python3 work.py\n",
    );
    repo.commit("Workers");
    app.push(&repo).await.succeeded();
    let types = ["script", "last", "aside", "plain"];
    app.scale(&json!({ "script": 1, "last": 1, "aside": 1, "plain": 1 })).await;
    until_logged(&app, "worker up", types.len()).await;
    app.scale(&json!({ "script": 0, "last": 0, "aside": 0, "plain": 0 })).await;
    until_logged(&app, "worker done", types.len()).await;
    let lines = app.logs().await;
    for process in types {
        let done = format!("{process}.1]: worker done");
        assert!(lines.iter().any(|line| line.contains(&done)), "{process}: {}", lines.join("\n"));
    }
}

#[tokio::test]
async fn a_worker_that_an_image_starts_by_a_shell_gets_the_signal_and_the_time() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let base = "FROM slipway/stack:slipway-12-run\nENTRYPOINT []\nWORKDIR /srv\nCOPY . .\nEXPOSE 8000\n";
    let serve = "#!/bin/sh\npython3 work.py &\npython3 -m http.server 8000\n";
    for end in ["CMD sh serve.sh", "CMD [\"sh\", \"serve.sh\"]", "ENTRYPOINT [\"sh\", \"/srv/serve.sh\"]"] {
        let (app, repo) = (owner.create("shell").await, Repo::empty());
        repo.write("work.py", WORK);
        repo.write("serve.sh", serve);
        repo.write("Dockerfile", &format!("{base}{end}\n"));
        repo.commit("A script");
        app.push(&repo).await.succeeded();
        until_logged(&app, "worker up", 1).await;
        app.post("/containers/cmd/restart", &json!({})).await.expect(200);
        until_logged(&app, "worker done", 1).await;
    }
}

/// Some supervisors of processes run as nothing else.
#[tokio::test]
async fn an_entry_point_that_has_to_be_process_one_is_deployed() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("first").await, Repo::empty());
    let script =
        "[ $$ -eq 1 ] || { echo \"fatal: can only run as pid 1\" >&2; exit 100; }\nexec python3 -m http.server 8000\n";
    repo.write("init.sh", script);
    let base = "FROM slipway/stack:slipway-12-run\nWORKDIR /srv\nCOPY . .\nEXPOSE 8000\n";
    repo.write("Dockerfile", &format!("{base}ENTRYPOINT [\"sh\", \"/srv/init.sh\"]\n"));
    repo.commit("Process one");
    app.push(&repo).await.succeeded();
    app.ask("/init.sh").await.expect(200);

    // As a command it is one if the app's config says so.
    repo.write("Dockerfile", &format!("{base}ENTRYPOINT []\nCMD [\"sh\", \"/srv/init.sh\"]\n"));
    repo.commit("A command");
    app.push(&repo).await.failed().says(&["can only run as pid 1", "SLIPWAY_INIT=no"]);
    app.post("/config", &json!({ "values": { "SLIPWAY_INIT": "never" } })).await.expect(400);
    app.set(&json!({ "SLIPWAY_INIT": "no" })).await;
    app.push(&repo).await.succeeded();
    let before = app.container().await;
    app.post("/containers/cmd/restart", &json!({})).await.expect(200);
    wait_until("it runs in another container", LONG, async || {
        let containers = app.containers().await;
        if containers.iter().all(|it| it.id != before.id) { Ok(()) } else { Err(format!("{containers:?}")) }
    })
    .await;
    app.ask("/init.sh").await.expect(200);
}
