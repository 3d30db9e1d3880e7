//! A deploy that fails explains itself and leaves everything as it was.

use serde_json::json;

use crate::support::{Options, Repo, Slipway, User};

/// Pushes the repository's commit twice; both pushes fail, say `texts`, and leave the app as it was.
async fn assert_fails_twice(owner: &User<'_>, fixture: &str, texts: &[&str]) {
    let (app, repo) = owner.serving("docker-web").await;
    let before = app.snapshot(&repo).await;
    repo.become_app(fixture);
    for _ in 0..2 {
        let push = app.push(&repo).await.failed().says(texts);
        assert!(push.has("pre-receive hook declined"), "{}", push.output());
        app.assert_unchanged(&repo, &before).await;
    }
    // What was fixed goes through, with the number that the failures did not use up.
    repo.become_app("docker-web");
    repo.commit_file("VERSION", "2\n");
    app.push(&repo).await.succeeded().says(&[":v3 deployed to Slipway"]);
    assert_eq!(app.page().await["version"], "2");
}

#[tokio::test]
async fn a_broken_dockerfile_build_shows_its_output_and_its_status() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let texts =
        ["checking the licence", "the licence file is missing", " !     The Dockerfile build failed", "exit code: 1"];
    assert_fails_twice(&owner, "docker-broken", &texts).await;
}

#[tokio::test]
async fn a_requirement_that_does_not_exist_is_named() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    assert_fails_twice(&owner, "broken-requirements", &["bottle==0.0.999", "pip could not install requirements.txt"])
        .await;
}

#[tokio::test]
async fn a_crash_at_boot_names_the_process_its_exit_code_and_its_last_lines() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let texts = ["cmd.1 exited with status 3", "connecting to the database", "cannot connect: no DATABASE_URL"];
    assert_fails_twice(&owner, "docker-crash", &texts).await;
}

#[tokio::test]
async fn a_wrong_port_names_the_port_expected_and_the_port_listened_on() {
    let server = Slipway::start_with(Options::default().env("SLIPWAY_BOOT_TIMEOUT", "4s")).await;
    let owner = server.owner().await;
    let texts = ["cmd.1 did not listen on port 8000 within 4 s", "it listens on 0.0.0.0:9999", "listening on 9999"];
    assert_fails_twice(&owner, "docker-wrong-port", &texts).await;
}

#[tokio::test]
async fn one_process_type_that_crashes_keeps_all_of_the_old_release() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("web").await, Repo::of("docker-web"));
    repo.commit_file("Procfile", "web: exec python3 server.py\nworker: exec sleep 1000\n");
    app.push(&repo).await.succeeded();
    app.scale(&json!({ "worker": 1 })).await;
    let before = app.snapshot(&repo).await;

    repo.write("VERSION", "2\n");
    repo.commit_file("Procfile", "web: exec python3 server.py\nworker: echo no queue; exit 7\n");
    app.push(&repo).await.failed().says(&["worker.1 exited with status 7", "no queue"]);
    app.assert_unchanged(&repo, &before).await;
}

#[tokio::test]
async fn what_cannot_be_built_is_refused_in_one_line() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let before = app.snapshot(&repo).await;
    for (fixture, texts) in [
        ("bad-procfile", ["Procfile line 2", "'web' is already declared on line 1"]),
        ("no-procfile-nothing", ["No buildpack matches", "Dockerfile"]),
    ] {
        repo.become_app(fixture);
        let push = app.push(&repo).await.failed().says(&texts);
        assert!(push.lines.iter().any(|(_, line)| line.starts_with(" !     ")), "{}", push.output());
        app.assert_unchanged(&repo, &before).await;
    }
    repo.become_app("bad-procfile");
    repo.commit_file("Procfile", "web: python app.py\r\n# comment\r\nthis line names no process type\r\n");
    app.push(&repo).await.failed().says(&["Procfile line 3", "this line names no process type"]);
    repo.commit_file("Procfile", "# nothing\n");
    app.push(&repo).await.failed().says(&["Procfile declares no process types"]);
    app.assert_unchanged(&repo, &before).await;
}

#[tokio::test]
async fn refs_that_are_not_deployed_are_refused_with_the_command_to_type() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let before = app.snapshot(&repo).await;
    let remote = app.remote();
    repo.commit_file("VERSION", "2\n");
    repo.git(&["tag", "-a", "-m", "Two", "two"]);
    let push = async |args: &[&str], texts: &[&str]| {
        let push = owner.git(&repo, &[&["push", &remote], args].concat()).await.failed().says(texts);
        assert_eq!(push.lines.iter().filter(|(_, line)| line.starts_with(" !     ")).count(), 1, "{}", push.output());
    };
    push(&["HEAD:refs/heads/feature"], &["'refs/heads/feature'", "git push <remote> feature:main"]).await;
    push(&["two"], &["'refs/tags/two'", "git push <remote> two~0:refs/heads/main"]).await;
    push(&["two:refs/heads/main"], &["is an annotated tag", "git push <remote> "]).await;
    push(&[":refs/heads/main"], &["The deploy branch 'main' cannot be deleted", "git push <remote> BRANCH:main"]).await;
    push(&["two", "HEAD:refs/heads/other"], &["'refs/heads/other'", "git push <remote> main"]).await;
    push(&["HEAD:refs/heads/main", "HEAD:refs/heads/other"], &["Only main or master is deployed"]).await;
    app.assert_unchanged(&repo, &before).await;
    owner.git(&repo, &["push", &remote, "two~0:refs/heads/main"]).await.succeeded();
    assert_eq!(app.page().await["version"], "2");
}

#[tokio::test]
async fn a_shallow_clone_is_told_to_fetch_the_rest() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("web").await, Repo::of("docker-web"));
    repo.commit_file("VERSION", "2\n");
    let shallow = Repo::empty();
    let source = format!("file://{}", repo.tree().display());
    shallow.git(&["fetch", "-q", "--depth", "1", &source, "main"]);
    shallow.git(&["checkout", "-q", "-B", "main", "FETCH_HEAD"]);
    let push = app.push(&shallow).await.failed();
    push.says(&["shallow", "git fetch --unshallow"]);
    assert_eq!(app.versions().await, [1]);
}

#[tokio::test]
async fn a_push_larger_than_the_limit_is_refused() {
    let server = Slipway::start_with(Options::default().env("SLIPWAY_MAX_PUSH_SIZE", "1MiB")).await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let before = app.snapshot(&repo).await;
    // Text that no compression makes small enough.
    let noise: String = (0..120_000).map(|_| uuid::Uuid::new_v4().simple().to_string()).collect();
    repo.commit_file("noise.txt", &noise);
    app.push(&repo).await.failed().says(&["A push may have 1 MiB here"]);
    app.assert_unchanged(&repo, &before).await;
}
