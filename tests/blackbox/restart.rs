//! Restarts: fresh containers of the same release, and nobody's request fails.

use serde_json::{Value, json};

use crate::support::{App, LONG, Load, Repo, Slipway, User, wait_until};

/// An app with two process types, at v2: `web=2`, `worker=1`.
async fn two_types<'a>(owner: &'a User<'a>) -> (App<'a>, Repo) {
    let (app, repo) = (owner.create("web").await, Repo::of("docker-web"));
    let web = "web: if getent hosts spoiler; then echo spoiled; exit 5; fi; exec python3 server.py";
    repo.commit_file("Procfile", &format!("{web}\nworker: exec sleep 1000\nspoiler: exec sleep 1000\n"));
    app.push(&repo).await.succeeded();
    app.scale(&json!({ "web": 2, "worker": 1 })).await;
    (app, repo)
}

/// Restarts; yields the labels of the answer.
async fn restart(app: &App<'_>, below: &str) -> Vec<String> {
    let answer = app.post(&format!("/containers{below}/restart"), &json!({})).await.expect(200);
    let Value::Array(list) = answer.json() else { panic!("no list: {}", answer.text) };
    assert!(list.iter().all(|it| it["state"] == "up" && it["release"] == "v2"), "{}", answer.text);
    let mut labels: Vec<String> =
        list.iter().map(|it| format!("{}.{}", it["type"].as_str().expect("a type"), it["num"])).collect();
    labels.sort();
    labels
}

#[tokio::test]
async fn restarts_replace_containers_and_fail_no_request() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = two_types(&owner).await;
    let load = Load::on(&app);
    let mut before = app.ids().await;
    for (below, labels, replaced) in [
        ("/web/2", vec!["web.2"], 1),
        ("/web", vec!["web.1", "web.2"], 2),
        ("/worker/1", vec!["worker.1"], 1),
        ("", vec!["web.1", "web.2", "worker.1"], 3),
    ] {
        assert_eq!(restart(&app, below).await, labels);
        let after = app.ids().await;
        assert_eq!((after["web"].len(), after["worker"].len()), (2, 1), "{below}");
        let gone = before.values().flatten().filter(|id| !after.values().flatten().any(|new| new == *id)).count();
        assert_eq!(gone, replaced, "{below}: {before:?} {after:?}");
        let enough = load.answered() + 40;
        wait_until("requests go on", LONG, async || {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            if load.answered() >= enough { Ok(()) } else { Err(load.answered().to_string()) }
        })
        .await;
        before = after;
    }
    let answered = load.answered();
    let failures = load.stop().await;
    assert!(failures.is_empty(), "{} of {answered} requests failed:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(app.versions().await, [2, 1], "a restart makes no release");
    assert_eq!(app.get("").await["structure"], json!({ "web": 2, "worker": 1 }));
    // The sample app logs each request: what was said before lies far back.
    let log = app.get("/logs?log_lines=100000").await;
    let lines: Vec<&str> = log.as_str().expect("a text").lines().collect();
    for said in ["owner restarted web.2", "owner restarted web", "owner restarted all"] {
        assert!(lines.iter().any(|line| line.ends_with(said)), "{said} is missing:\n{}", lines.join("\n"));
    }
    app.post("/containers/nothing/restart", &json!({})).await.expect(404);
    app.post("/containers/web/3/restart", &json!({})).await.expect(404);
    assert_eq!(restart(&app, "/spoiler").await, Vec::<String>::new());
}

#[tokio::test]
async fn instances_that_do_not_come_up_again_leave_the_old_ones_serving() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = two_types(&owner).await;
    app.scale(&json!({ "spoiler": 1, "web": 1 })).await;
    let before = app.snapshot(&repo).await;
    let answer = app.post("/containers/restart", &json!({})).await.expect(503);
    assert_eq!(answer.line(), "503 SERVICE UNAVAILABLE");
    let detail = answer.json()["detail"].as_str().expect("a text").to_owned();
    assert!(detail.contains("web.1 exited with status 5") && detail.contains("spoiled"), "{detail}");
    app.assert_unchanged(&repo, &before).await;
    app.scale(&json!({ "spoiler": 0 })).await;
    assert_eq!(restart(&app, "").await, ["web.1", "worker.1"]);
    app.until_page("release", "v2").await;
}
