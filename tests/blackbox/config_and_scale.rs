//! Config, counts, limits, health checks, rollback.

use serde_json::{Value, json};

use crate::support::{App, Bounds, Options, Repo, Slipway, User};

/// An app with two process types, at v2: `web=1`, `worker=0`.
async fn two_types<'a>(owner: &'a User<'a>) -> (App<'a>, Repo) {
    let (app, repo) = (owner.create("web").await, Repo::of("docker-web"));
    repo.commit_file("Procfile", "web: exec python3 server.py\nworker: echo working; exec sleep 1000\n");
    app.push(&repo).await.succeeded();
    (app, repo)
}

#[tokio::test]
async fn a_config_change_is_a_release_that_the_app_sees() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let instance = app.page().await["instance"].clone();

    assert_eq!(app.set(&json!({ "GREETING": "hello wörld", "COUNT": 10, "DROP": "x" })).await, 3);
    let page = app.page().await;
    assert_eq!((&page["config"], &page["release"]), (&json!("hello wörld"), &json!("v3")), "{page}");
    assert_ne!(page["instance"], instance);
    assert_eq!(app.ask("/env/COUNT").await.json()["COUNT"], "10");
    let config = app.get("/config").await;
    assert_eq!(config["values"], json!({ "GREETING": "hello wörld", "COUNT": 10, "DROP": "x" }));
    assert_eq!((&config["owner"], &config["app"]), (&json!("owner"), &json!(app.name)), "{config}");

    // As the Deis client sends it: JSON in a string; null unsets; what is not mentioned stays.
    let answer = app.post("/config", &json!({ "values": "{\"GREETING\": \"bye\", \"DROP\": null}" })).await.expect(201);
    assert_eq!(answer.header("X-Deis-Release"), "4");
    assert_eq!(answer.json()["values"], json!({ "GREETING": "bye", "COUNT": 10 }));
    assert_eq!(app.page().await["config"], "bye");
    assert_eq!(app.ask("/env/DROP").await.status, 404);

    // What the platform says wins over config; the port of an image is the config's to choose.
    app.set(&json!({ "PORT": "8001", "DEIS_APP": "x", "DEIS_RELEASE": "x" })).await;
    let page = app.page().await;
    assert_eq!(
        (&page["port"], &page["app"], &page["release"]),
        (&json!(8001), &json!(app.name), &json!("v5")),
        "{page}"
    );
    assert_eq!(app.ask("/env/GIT_SHA").await.json()["GIT_SHA"], repo.head());

    let summaries: Vec<Value> = app.get("/releases").await["results"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|r| r["summary"].clone())
        .collect();
    assert_eq!(summaries[1], "owner changed GREETING, deleted DROP");
    assert_eq!(summaries[2], "owner added COUNT, DROP, GREETING");
    assert_eq!(summaries[3], format!("owner deployed {}", &repo.head()[..7]));
    assert_eq!(summaries[4], "owner created initial release");
}

#[tokio::test]
async fn a_config_that_the_app_cannot_boot_with_is_undone() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("web").await, Repo::of("docker-web"));
    repo.commit_file("Procfile", "web: test -z \"$BREAK\" && exec python3 server.py; echo broken by config; exit 5\n");
    app.push(&repo).await.succeeded();
    app.set(&json!({ "GREETING": "kept" })).await;
    let before = app.snapshot(&repo).await;

    let answer = app.post("/config", &json!({ "values": { "BREAK": "yes", "GREETING": "lost" } })).await.expect(503);
    assert_eq!(answer.line(), "503 SERVICE UNAVAILABLE");
    let detail = answer.json()["detail"].as_str().expect("a detail").to_owned();
    assert!(detail.contains("web.1 exited with status 5"), "{detail}");
    app.assert_unchanged(&repo, &before).await;

    // The discarded value does not come back with the next change, nor is its number lost.
    assert_eq!(app.set(&json!({ "MORE": "1" })).await, 4);
    assert_eq!(app.get("/config").await["values"], json!({ "GREETING": "kept", "MORE": "1" }));
}

#[tokio::test]
async fn limits_reach_the_containers() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    let answer =
        app.post("/config", &json!({ "memory": { "cmd": "128M" }, "cpu": "{\"cmd\": \"256\"}" })).await.expect(201);
    assert_eq!((answer.json()["memory"].clone(), answer.header("X-Deis-Release")), (json!({ "cmd": "128M" }), "3"));
    let bounds = Bounds::of(app.container().await.pid);
    assert!(bounds.memory_bytes == 128 << 20 && bounds.has_cpu_shares(256), "{bounds:?}");
    app.post("/config", &json!({ "memory": { "cmd": null }, "cpu": { "cmd": null } })).await.expect(201);
    let bounds = Bounds::of(app.container().await.pid);
    assert!(bounds.memory_bytes == 512 << 20 && bounds.has_cpu_shares(1024), "{bounds:?}");
    for (field, limits) in
        [("memory", json!({ "cmd": "128" })), ("memory", json!({ "Web": "1M" })), ("cpu", json!({ "cmd": 1025 }))]
    {
        let answer = app.post("/config", &json!({ field: limits })).await.expect(400);
        assert!(answer.json()[field].is_array(), "{}", answer.text);
    }
    assert_eq!(app.versions().await, [4, 3, 2, 1]);
}

/// The engine of this machine has no such label; `api/deis/tests/config.rs` has one that does.
#[tokio::test]
async fn a_tag_that_the_engine_does_not_have_leaves_the_old_release_serving() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    let answer = app.post("/config", &json!({ "tags": { "nosuchlabel": "1" } })).await.expect(503);
    let detail = answer.json()["detail"].as_str().expect("a detail").to_owned();
    assert!(detail.starts_with("no node has the label nosuchlabel=1\n"), "{detail}");
    assert_eq!((app.page().await["release"].clone(), app.versions().await), (json!("v2"), vec![2, 1]));
    assert_eq!(app.get("/config").await["tags"], json!({}));
}

#[tokio::test]
async fn scaling_touches_nothing_that_stays() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = two_types(&owner).await;
    app.scale(&json!({ "worker": 1 })).await;
    let first = app.ids().await;
    assert_eq!((first["web"].len(), first["worker"].len()), (1, 1));

    app.scale(&json!({ "web": "3" })).await;
    let three = app.ids().await;
    assert_eq!(three["worker"], first["worker"]);
    assert_eq!(three["web"].len(), 3);
    assert!(three["web"].contains(&first["web"][0]), "the first one is left alone");
    let listed = app.get("/containers").await;
    assert_eq!(listed["count"], 4, "{listed}");
    let web = app.get("/containers/web").await;
    let numbers: Vec<&Value> = web["results"].as_array().expect("a list").iter().map(|c| &c["num"]).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(
        web["results"].as_array().expect("a list").iter().all(|c| c["state"] == "up" && c["release"] == "v2"),
        "{web}"
    );
    assert_eq!(app.get("/containers/web/2").await["type"], "web");
    let mut answering = std::collections::BTreeSet::new();
    for _ in 0..60 {
        answering.insert(app.page().await["instance"].to_string());
    }
    assert_eq!(answering.len(), 3, "all three get requests");

    app.scale(&json!({ "web": 1 })).await;
    assert_eq!(app.ids().await, first, "the same containers as before");
    assert_eq!(app.get("").await["structure"], json!({ "web": 1, "worker": 1 }));
    assert_eq!(app.versions().await, [2, 1], "scaling makes no release");

    app.scale(&json!({ "web": 0 })).await;
    assert_eq!(app.ask("/").await.status, 503);
    assert_eq!(app.ids().await.into_keys().collect::<Vec<_>>(), ["worker"]);
    app.scale(&json!({ "web": 1, "worker": 0 })).await;
    assert_eq!(app.page().await["version"], "1");
}

#[tokio::test]
async fn counts_that_make_no_sense_are_refused() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let unbuilt = owner.create("unbuilt").await;
    let detail = async |app: &App<'_>, counts: Value| {
        let answer = app.post("/scale", &counts).await.expect(400);
        assert_eq!(answer.line(), "400 BAD REQUEST");
        answer.json()["detail"].as_str().expect("a detail").to_owned()
    };
    assert!(detail(&unbuilt, json!({ "web": 1 })).await.contains("No build associated with this release"));
    let (app, _repo) = two_types(&owner).await;
    let before = app.ids().await;
    assert!(detail(&app, json!({ "web": "many" })).await.contains("Invalid scaling format"));
    assert!(detail(&app, json!({ "web": null })).await.contains("Invalid scaling format"));
    assert!(detail(&app, json!({ "web": -1 })).await.contains("Must be greater than or equal to zero"));
    let unknown = detail(&app, json!({ "web": 2, "nothing": 1 })).await;
    assert!(unknown.contains("Container type nothing does not exist in application"), "{unknown}");
    assert_eq!(app.ids().await, before);
}

#[tokio::test]
async fn a_health_check_path_decides_whether_a_release_is_healthy() {
    let server = Slipway::start_with(Options::default().env("SLIPWAY_BOOT_TIMEOUT", "4s")).await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let before = app.snapshot(&repo).await;
    let answer = app.post("/config", &json!({ "values": { "HEALTHCHECK_URL": "/nowhere" } })).await.expect(503);
    assert!(answer.text.contains("GET /nowhere answered 404"), "{}", answer.text);
    app.assert_unchanged(&repo, &before).await;
    assert_eq!(app.set(&json!({ "HEALTHCHECK_URL": "/env/PORT" })).await, 3);
    assert_eq!(app.page().await["release"], "v3");
    repo.edit("server.py", "\"env\": Handler.env,", "");
    repo.commit("Lose the page of the health check");
    app.push(&repo).await.failed().says(&["GET /env/PORT answered 404"]);
    assert_eq!(app.page().await["release"], "v3");
}

#[tokio::test]
async fn a_rollback_restores_build_and_config_and_builds_nothing() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let image = app.container().await.image;
    assert_eq!(app.set(&json!({ "GREETING": "a", "ONLY_A": "1" })).await, 3);
    repo.commit_file("VERSION", "2\n");
    app.push(&repo).await.succeeded().says(&[":v4 "]);
    assert_eq!(app.set(&json!({ "GREETING": "b", "ONLY_A": null })).await, 5);
    let builds = app.get("/builds").await["count"].clone();
    let is = |page: &Value| {
        [&page["release"], &page["version"], &page["config"]].map(|v| v.as_str().unwrap_or_default().to_owned())
    };
    let expect = |texts: [&str; 3]| texts.map(str::to_owned);

    let answer = app.post("/releases/rollback", &json!({ "version": 3 })).await.expect(201);
    assert_eq!(answer.json(), json!({ "version": 6 }));
    assert_eq!(is(&app.page().await), expect(["v6", "1", "a"]));
    assert_eq!(app.get("/config").await["values"], json!({ "GREETING": "a", "ONLY_A": "1" }));
    assert_eq!((app.container().await.image, app.get("/builds").await["count"].clone()), (image, builds));
    let v3 = app.get("/releases/v3").await;
    let v6 = app.get("/releases/v6").await;
    assert_eq!((&v6["build"], &v6["config"]), (&v3["build"], &v3["config"]));
    assert_eq!(v6["summary"], "owner rolled back to v3");

    // Without a number: the one before the latest.
    let answer = app.post("/releases/rollback", &json!({})).await.expect(201);
    assert_eq!(answer.json(), json!({ "version": 7 }));
    assert_eq!(is(&app.page().await), expect(["v7", "2", "b"]));
    // A change builds on what was rolled back to.
    app.post("/releases/rollback", &json!({ "version": 3 })).await.expect(201);
    app.set(&json!({ "MORE": "1" })).await;
    assert_eq!(app.get("/config").await["values"], json!({ "GREETING": "a", "ONLY_A": "1", "MORE": "1" }));

    app.post("/releases/rollback", &json!({ "version": 0 })).await.expect(400);
    app.post("/releases/rollback", &json!({ "version": "v2" })).await.expect(400);
    app.post("/releases/rollback", &json!({ "version": 99 })).await.expect(404);
    app.post("/releases/rollback", &json!({ "version": 1 })).await.expect(400);
    assert_eq!(app.versions().await[0], 9);
}
