//! A rebuilt stack: every slug moves to it as a new release, and no buildpack runs.

use serde_json::json;

use crate::support::{App, LONG, Options, Repo, Slipway, fresh_name, wait_until};

/// A stack of the test's own: other names for the real one, which stays as it is.
async fn own_stack(server: &Slipway, repository: &str) {
    for part in ["run", "build"] {
        server
            .docker()
            .tag(&format!("slipway/stack:slipway-12-{part}"), repository, &format!("slipway-12-{part}"))
            .await;
        server.remove_image_at_the_end(&format!("{repository}:slipway-12-{part}"));
    }
}

/// What a rebuilt run image is to a slug: another one of the same name.
async fn rebuild_stack(server: &Slipway, repository: &str, mark: &str) {
    let run_image = format!("{repository}:slipway-12-run");
    let dockerfile =
        format!("FROM slipway/stack:slipway-12-run\nUSER 0:0\nRUN echo {mark} > /etc/rebuilt\nUSER 2000:2000\n");
    server.docker().build_dockerfile(&dockerfile, &run_image).await;
}

async fn rebuilt(app: &App<'_>) -> String {
    let answer = app.post("/run", &json!({ "command": "cat /etc/rebuilt" })).await.expect(200).json();
    answer[1].as_str().expect("output").trim().to_owned()
}

#[tokio::test]
async fn a_rebase_moves_slugs_reports_what_fails_and_leaves_the_rest() {
    let repository = format!("slipway-test/{}", fresh_name("stack"));
    let options = Options::default().env("SLIPWAY_STACK", &repository);
    let server = {
        let server = Slipway::start_with(options).await;
        own_stack(&server, &repository).await;
        server
    };
    let owner = server.owner().await;
    let (site, _repo) = owner.serving("static-site").await;
    let (docker, _docker_repo) = owner.serving("docker-web").await;
    let picky = owner.create("picky").await;
    let repo = Repo::of("static-site");
    repo.commit_file("Procfile", "web: test ! -e /etc/rebuilt && cd public && exec python3 -m http.server $PORT\n");
    picky.push(&repo).await.succeeded();
    owner.create("empty").await;
    server.cli(&["stack", "rebase"], &[]).await.succeeded().says(&["0 apps were rebased, 0 failed, 4 needed nothing"]);
    assert_eq!(site.versions().await, [2, 1]);

    rebuild_stack(&server, &repository, "monday").await;
    let page = site.ask("/").await.expect(200).text;
    let (docker_container, picky_container) = (docker.container().await, picky.container().await);
    server.cli(&["stack", "rebase"], &[]).await.failed().says(&[
        &format!("{}: v3 runs on the present run image", site.name),
        &format!("{}: FAILED, it stays on the release that it has", picky.name),
        "web.1 exited with status 1",
        "1 apps were rebased, 1 failed, 2 needed nothing",
    ]);
    assert_eq!((site.versions().await, rebuilt(&site).await), (vec![3, 2, 1], "monday".to_owned()));
    assert_eq!(site.ask("/").await.expect(200).text, page);
    let (old, new) = (site.get("/releases/v2").await, site.get("/releases/v3").await);
    let summary = new["summary"].as_str().expect("a summary");
    assert!(
        summary.starts_with("Slipway rebased ") && summary.ends_with(" on the rebuilt stack slipway-12"),
        "{summary}"
    );
    assert_ne!(old["build"], new["build"]);
    let builds = site.get("/builds").await;
    assert_eq!(builds["results"][0]["sha"], builds["results"][1]["sha"]);
    assert_eq!((picky.versions().await, picky.container().await), (vec![2, 1], picky_container));
    assert_eq!((docker.versions().await, docker.container().await), (vec![2, 1], docker_container));
    assert!(picky.ask("/").await.status == 200);

    // Back to the old image and its place in the list: a rollback is not undone by anybody.
    site.post("/releases/rollback", &json!({ "version": 2 })).await.expect(201);
    assert_eq!(rebuilt(&site).await, "cat: /etc/rebuilt: No such file or directory");

    server.stop().await;
    server.cli(&["stack", "rebase"], &[]).await.failed().says(&["no Slipway serves", "slipway serve"]);
    server.restart().await;
    assert_eq!(site.versions().await[0], 4);
}

#[tokio::test]
#[cfg_attr(not(debug_assertions), ignore = "only debug builds stop at a step")]
async fn a_rebase_goes_on_after_a_crash() {
    let repository = format!("slipway-test/{}", fresh_name("stack"));
    let options = Options::default().env("SLIPWAY_STACK", &repository);
    let server = Slipway::start_with(options.clone()).await;
    own_stack(&server, &repository).await;
    let owner = server.owner().await;
    let (site, _repo) = owner.serving("static-site").await;
    rebuild_stack(&server, &repository, "tuesday").await;
    server.pause_after("rebase:start");
    let mut command = server.start_cli(&["stack", "rebase"], &[]);
    server.paused().await;
    server.kill9().await;
    command.line("no Slipway serves").await;
    command.finish().await.failed().says(&["goes on when it is started again"]);
    server.go_on();
    server.restart().await;
    wait_until("the app is rebased", LONG, async || {
        let finished = server.rows("SELECT id FROM rebases WHERE finished_at IS NOT NULL").await;
        if finished.len() == 1 { Ok(()) } else { Err(server.log()) }
    })
    .await;
    assert_eq!((site.versions().await, rebuilt(&site).await), (vec![3, 2, 1], "tuesday".to_owned()));
}
