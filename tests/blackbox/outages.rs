//! The engine or the database goes away under running apps: what can serves on, the rest comes back by itself, and
//! meanwhile no app answers for another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{Answer, App, Engine, LONG, Load, Options, Postgres, Repo, Slipway, User, wait_until};

/// An app whose page says its own name; the engine of the test has no network for builds.
async fn serving<'a>(owner: &'a User<'a>) -> (App<'a>, Repo) {
    let (app, repo) = (owner.create("web").await, Repo::of("docker-web"));
    repo.edit("Dockerfile", "RUN printf '%s\\n' \"$BUILD_NOTE\" > /tmp/note\n", "");
    repo.commit("Build without a network");
    app.set(&json!({ "GREETING": app.name })).await;
    app.push(&repo).await.succeeded().says(&[":v3 deployed to Slipway"]);
    (app, repo)
}

/// Asks apps all the time, and looks who answers.
struct Witness {
    clients: JoinSet<Vec<String>>,
    stop: CancellationToken,
    refused: Arc<AtomicUsize>,
}

impl Witness {
    fn of(apps: &[&App<'_>]) -> Self {
        let mut witness = Self { clients: JoinSet::new(), stop: CancellationToken::new(), refused: Arc::default() };
        for app in apps {
            let (stop, refused) = (witness.stop.clone(), Arc::clone(&witness.refused));
            let (http, name) = (app.user.server.http().clone(), app.name.clone());
            let url = format!("http://{}/", app.user.server.addresses().http);
            witness.clients.spawn(async move {
                let mut wrong = Vec::new();
                while !stop.is_cancelled() {
                    let request = http.get(&url).header("Host", format!("{name}.localhost"));
                    match Answer::to(request, &name).await {
                        Ok(answer) if answer.status == 200 => {
                            if answer.json()["config"] != Value::String(name.clone()) {
                                wrong.push(format!("{name} was answered by {}", answer.text));
                            }
                        }
                        Ok(answer) if matches!(answer.status, 502..=504) => {
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(answer) => wrong.push(format!("{name}: {} {}", answer.line(), answer.text)),
                        Err(error) => wrong.push(error),
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
                wrong
            });
        }
        witness
    }

    /// Waits until somebody was told that an app does not serve.
    async fn sees_a_refusal(&self) {
        wait_until("the router says that an app does not serve", LONG, async || {
            if self.refused.load(Ordering::Relaxed) > 0 { Ok(()) } else { Err("every request was answered".to_owned()) }
        })
        .await;
    }

    async fn testify(self) {
        self.stop.cancel();
        let wrong: Vec<String> = self.clients.join_all().await.into_iter().flatten().collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[tokio::test]
async fn apps_come_back_when_the_engine_was_stopped_or_killed() {
    let engine = Engine::start().await;
    let server = Slipway::start_with(Options::default().engine(&engine)).await;
    server.may_log_errors();
    let owner = server.owner().await;
    let ((one, repo), (two, _)) = (serving(&owner).await, serving(&owner).await);
    let before = (one.container().await.instance, two.container().await.instance);
    let witness = Witness::of(&[&one, &two]);

    engine.stop().await;
    witness.sees_a_refusal().await;
    // What needs the engine says so, and changes nothing.
    let scaled = one.post("/scale", &json!({ "cmd": 2 })).await;
    assert!(scaled.status >= 500 && scaled.text.to_lowercase().contains("engine"), "{} {}", scaled.line(), scaled.text);
    assert_eq!(one.get("").await["structure"], json!({ "cmd": 1 }));
    engine.run().await;
    for app in [&one, &two] {
        app.until_page("config", &app.name).await;
    }

    engine.kill9().await;
    engine.run().await;
    for app in [&one, &two] {
        wait_until("the instance runs again", LONG, async || match &app.containers().await[..] {
            [container] if container.is_running => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        app.until_page("config", &app.name).await;
    }
    witness.testify().await;
    assert_eq!((one.container().await.instance, two.container().await.instance), before);

    repo.commit_file("VERSION", "2\n");
    one.push(&repo).await.succeeded().says(&[":v4 deployed to Slipway"]);
    one.until_page("version", "2").await;
}

#[tokio::test]
async fn a_server_that_starts_without_the_engine_serves_as_soon_as_it_is_there() {
    let engine = Engine::start().await;
    let server = Slipway::start_with(Options::default().engine(&engine)).await;
    server.may_log_errors();
    let owner = server.owner().await;
    let (app, _repo) = serving(&owner).await;
    let instance = app.container().await.instance;
    server.kill9().await;
    engine.stop().await;
    // As after a reboot of the machine: the containers are there and have ended.
    let (_, ()) = tokio::join!(server.restart(), engine.run());
    app.until_page("config", &app.name).await;
    assert_eq!(app.container().await.instance, instance);
}

#[tokio::test]
async fn apps_serve_on_while_the_database_is_away() {
    let database = Postgres::start().await;
    let server = Slipway::start_with(Options::default().database(&database)).await;
    server.may_log_errors();
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let load = Load::on(&app);
    load.flows().await;
    database.stop();
    load.flows().await;
    let listed = owner.get("/apps").await;
    assert!(listed.status >= 500, "{} {}", listed.line(), listed.text);
    repo.commit_file("VERSION", "2\n");
    app.push(&repo).await.failed();
    load.flows().await;
    let failures = load.stop().await;
    assert!(failures.is_empty(), "{}", failures.join("\n"));

    database.run().await;
    wait_until("a push is taken again", LONG, async || {
        let pushed = owner.git(&repo, &["push", &app.remote(), "HEAD:main"]).await;
        if pushed.code == Some(0) { Ok(()) } else { Err(pushed.output()) }
    })
    .await;
    assert_eq!((app.page().await["version"].as_str(), app.versions().await), (Some("2"), vec![3, 2, 1]));
}
