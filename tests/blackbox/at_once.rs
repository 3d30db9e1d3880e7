//! Several pushes at once, and pushes that are called off.

use std::time::Duration;

use crate::support::{App, Options, Repo, Running, Slipway, User, fresh_name, processes_with, wait_until};

/// How soon nothing may be left of a push that was called off.
const CANCELLED_WITHIN: Duration = Duration::from_secs(10);

/// Makes the build of docker-web say `tick 1`, `tick 2` ... once a second, and end with `status`.
fn tick(repo: &Repo, seconds: u32, status: u32) {
    let name = fresh_name("build");
    let run =
        format!("RUN for i in $(seq {seconds}); do echo \"tick $i of {name}\"; sleep 1; done; exit {status}\nEXPOSE");
    repo.edit("Dockerfile", "EXPOSE", &run);
    repo.commit("Build slowly");
}

#[tokio::test]
async fn pushes_to_one_app_come_one_after_the_other_and_the_waiting_one_is_told() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("web").await, Repo::of("docker-web"));
    let other = Repo::of("docker-web");
    other.commit_file("VERSION", "other\n");

    // The first one succeeds: the second one's base has moved under it.
    tick(&repo, 4, 0);
    let mut first = app.start_push(&repo);
    first.line("tick 1").await;
    let mut second = app.start_push(&other);
    second.line("Waiting for a push by owner").await;
    let (first, second) = (first.finish().await.succeeded(), second.finish().await.failed());
    assert!(first.took > Duration::from_secs(3), "{}", first.output());
    assert!(!second.has("Building image"), "{}", second.output());
    let second = second.says(&["main moved while this push waited", "git pull"]);
    assert_eq!(second.lines.iter().filter(|(_, line)| line.contains("Waiting for")).count(), 1, "{}", second.output());
    assert_eq!((app.page().await["version"].as_str(), app.head(&repo).await), (Some("1"), Some(repo.head())));

    // The first one fails: the second one goes on.
    repo.become_app("docker-web");
    tick(&repo, 4, 1);
    let mut first = app.start_push(&repo);
    first.line("tick 1").await;
    other.git(&["fetch", "-q", &format!("file://{}", repo.tree().display()), "main"]);
    other.git(&["reset", "-q", "--hard", "FETCH_HEAD~2"]);
    other.become_app("docker-web");
    other.commit_file("VERSION", "3\n");
    let mut second = app.start_push(&other);
    second.line("Waiting for a push by owner").await;
    let (first, second) = (first.finish().await.failed(), second.finish().await.succeeded());
    assert!(!first.has("Waiting for"), "{}", first.output());
    second.says(&[":v3 deployed to Slipway"]);
    assert_eq!((app.page().await["version"].as_str(), app.head(&repo).await), (Some("3"), Some(other.head())));
}

#[tokio::test]
async fn pushes_to_different_apps_go_side_by_side() {
    let server = Slipway::start_with(Options::default().env("SLIPWAY_BUILD_CONCURRENCY", "2")).await;
    let owner = server.owner().await;
    let (one, two) = (owner.create("one").await, owner.create("two").await);
    let (repo_one, repo_two) = (Repo::of("docker-web"), Repo::of("docker-web"));
    tick(&repo_one, 6, 0);
    tick(&repo_two, 6, 0);
    let (mut first, mut second) = (one.start_push(&repo_one), two.start_push(&repo_two));
    tokio::join!(first.line("tick 1"), second.line("tick 1"));
    let (first, second) = tokio::join!(first.finish(), second.finish());
    let (first, second) = (first.succeeded(), second.succeeded());
    assert!(!first.has("Waiting for") && !second.has("Waiting for"));
    let at = |push: &crate::support::Finished, text: &str| {
        push.lines.iter().find(|(_, line)| line.contains(text)).map_or(Duration::MAX, |(at, _)| *at)
    };
    assert!(at(&first, "tick 1") < at(&second, "tick 6") && at(&second, "tick 1") < at(&first, "tick 6"));
    assert_eq!(one.page().await["version"], "1");
    assert_eq!(two.page().await["version"], "1");
}

/// Calls a running push off by Ctrl-C; soon nothing of it may be left, and the next push has to work.
async fn assert_cancelled(owner: &User<'_>, app: &App<'_>, push: Running, marker: &str) {
    let server = owner.server;
    let id = server.id().await;
    assert!(!processes_with(marker).is_empty(), "the build runs on this machine");
    push.interrupt().await;
    wait_until("nothing of the build is left", CANCELLED_WITHIN, async || {
        let processes = processes_with(marker);
        let containers = server.docker().build_containers(&id).await;
        let live = server.rows("SELECT step FROM operations WHERE lock_key IS NOT NULL").await;
        let left = format!("processes {processes:?}, containers {containers:?}, operations {live:?}");
        if processes.is_empty() && containers.is_empty() && live.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
    assert_eq!(server.rows("SELECT status FROM operations WHERE kind = 'push'").await, ["cancelled"]);
    assert_eq!(app.versions().await, [1]);
    let repo = Repo::of("docker-web");
    app.push(&repo).await.succeeded().says(&[":v2 deployed to Slipway"]);
    assert_eq!(app.page().await["version"], "1");
}

#[tokio::test]
async fn ctrl_c_during_a_dockerfile_build_ends_it() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("web").await, Repo::of("docker-slow-build"));
    let marker = fresh_name("marker");
    repo.edit("Dockerfile", "still building:", &format!("still building {marker}:"));
    repo.commit("Mark the build");
    let mut push = app.start_push(&repo);
    push.line(&format!("still building {marker}: 2 s")).await;
    assert_cancelled(&owner, &app, push, &marker).await;
}

#[tokio::test]
async fn ctrl_c_during_a_slug_build_ends_it() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("py").await, Repo::of("hello"));
    let marker = fresh_name("marker");
    slow_slug(&repo, &marker);
    let mut push = app.start_push(&repo);
    push.line("compiling slowly").await;
    assert_cancelled(&owner, &app, push, &marker).await;
}

/// Makes a Python app's build hang in a command that has `marker` on its command line.
pub fn slow_slug(repo: &Repo, marker: &str) {
    repo.write("bin/pre_compile", &format!("#!/bin/bash\necho compiling slowly\nbash -c 'sleep 100; : {marker}'\n"));
    repo.git(&["add", "-A"]);
    repo.git(&["update-index", "--chmod=+x", "bin/pre_compile"]);
    repo.git(&["commit", "-q", "-m", "Build slowly"]);
}
