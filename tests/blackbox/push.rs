//! From a push to a page: Dockerfile apps, Procfile apps, static sites.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{App, Container, Repo, Slipway, fresh_name};

#[tokio::test]
async fn a_dockerfile_app_is_served_and_a_second_push_changes_it() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("web").await, Repo::of("docker-web"));
    assert_eq!(app.ask("/").await.status, 503, "there is nothing to send requests to before the first push");

    let url = format!("http://{}.localhost:{}", app.name, server.addresses().http.port());
    let done = format!("-----> done, {}:v2 deployed to Slipway", app.name);
    app.push(&repo).await.succeeded().says(&["-----> Building image", "done in ", &done, &url]);
    let page = app.page().await;
    assert_eq!((&page["version"], &page["release"]), (&json!("1"), &json!("v2")), "{page}");
    assert_eq!((&page["app"], &page["port"]), (&json!(app.name), &json!(8000)), "{page}");
    assert_eq!(
        app.ask("/files").await.json(),
        json!([".dockerignore", "Dockerfile", "VERSION", "keep.log", "server.py"])
    );
    assert_eq!(app.ask("/note").await.json()["note"], "none");
    assert_eq!(app.get("").await["structure"], json!({ "cmd": 1 }), "an image without a Procfile runs its own command");

    let labels = server.docker().image_labels(&app.container().await.image).await;
    assert_eq!(labels["io.slipway.app-name"], app.name);
    assert_eq!(labels["io.slipway.commit"], repo.head());
    assert_eq!(app.head(&repo).await, Some(repo.head()));

    assert_eq!(app.set(&json!({ "BUILD_NOTE": "from config", "OTHER": "x" })).await, 3);
    repo.commit_file("VERSION", "2\n");
    app.push(&repo).await.succeeded().says(&[":v4 deployed to Slipway"]);
    let page = app.page().await;
    assert_eq!((&page["version"], &page["release"]), (&json!("2"), &json!("v4")), "{page}");
    assert_eq!(app.ask("/note").await.json()["note"], "from config");
    assert_eq!(app.versions().await, [4, 3, 2, 1]);
}

#[tokio::test]
async fn an_unchanged_tree_in_a_new_commit_is_released_without_a_build() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let image = app.container().await.image;

    repo.commit("Nothing changed");
    let push = app.push(&repo).await.succeeded().says(&["Nothing to build", ":v3 deployed to Slipway"]);
    assert!(!push.has("Building image"), "{}", push.output());
    assert_eq!((app.container().await.image, app.page().await["release"].as_str()), (image, Some("v3")));
    assert_eq!(app.head(&repo).await, Some(repo.head()));

    // git itself has nothing to send: the hook is not reached, no release is cut.
    app.push(&repo).await.succeeded().says(&["Everything up-to-date"]);
    assert_eq!(app.versions().await, [3, 2, 1]);
}

#[tokio::test]
async fn output_reaches_the_pusher_while_the_build_goes_on() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("web").await, Repo::of("docker-web"));
    // The name is fresh, so that no cached layer skips the command.
    let slow = format!("RUN for i in 1 2 3 4; do echo \"tick $i of {}\"; sleep 1; done\nEXPOSE", fresh_name("build"));
    repo.edit("Dockerfile", "EXPOSE", &slow);
    repo.commit("Build slowly");

    let push = app.push(&repo).await.succeeded();
    let at = |text: &str| push.lines.iter().find(|(_, line)| line.contains(text)).map(|(at, _)| *at);
    let seen =
        [at("tick 1 of"), at("tick 2 of"), at("tick 4 of")].map(|at| at.unwrap_or_else(|| panic!("{}", push.output())));
    assert!(seen[2] - seen[0] > Duration::from_millis(2000), "ticks come as they are made: {seen:?}");
    assert!(push.took - seen[0] > Duration::from_millis(2500), "the first one comes long before the end: {seen:?}");
}

#[tokio::test]
async fn a_python_app_becomes_a_slug_and_the_next_push_downloads_nothing() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("py").await, Repo::of("pyapp"));
    let first = app.push(&repo).await.succeeded();
    let first = first.says(&["Procfile declares types -> web, worker", "bottle", ":v2 deployed to Slipway"]);
    assert!(first.has("Downloading"), "{}", first.output());
    let page = app.page().await;
    assert_eq!(
        (&page["version"], &page["bottle"], &page["port"]),
        (&json!("1"), &json!("0.13.4"), &json!(5000)),
        "{page}"
    );
    assert_eq!(app.get("").await["structure"], json!({ "web": 1 }), "the worker waits until it is scaled");
    assert_runs_as_slug_user(&app.container().await);

    let digests = slugs(&server).await;
    let [slug] = &digests[..] else { panic!("not one slug: {digests:?}") };
    assert!(server.data_dir().join(format!("slugs/{slug}.tgz")).is_file(), "the slug {slug} is kept");

    repo.commit_file("VERSION", "2\n");
    let second = app.push(&repo).await.succeeded();
    assert!(!second.has("Downloading"), "{}", second.output());
    assert_eq!(app.page().await["version"], "2");
    assert_eq!(slugs(&server).await.len(), 2);

    // The same tree in another app, with another cache, gives the same bytes.
    repo.git(&["checkout", "-q", "HEAD~1"]);
    let other = owner.create("other").await;
    other.push(&repo).await.succeeded();
    assert_eq!(other.page().await["version"], "1");
    assert_eq!(slugs(&server).await.len(), 2, "a slug of the same tree has the same digest");
}

/// Digests of all slugs that builds made.
async fn slugs(server: &Slipway) -> Vec<String> {
    server.rows("SELECT DISTINCT slug FROM builds WHERE slug IS NOT NULL ORDER BY slug").await
}

fn assert_runs_as_slug_user(container: &Container) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", container.pid)).expect("it runs on this machine");
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("Linux says it");
    // The first process may be the engine's init; what it started is the app.
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", container.pid)).unwrap_or_default();
    let app = children.split_whitespace().next().map(|pid| format!("/proc/{pid}/status"));
    let status = app.map_or(status.clone(), |path| std::fs::read_to_string(path).expect("it runs on this machine"));
    let app_uids = status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("Linux says it");
    for uids in [uids, app_uids] {
        assert_eq!(uids.split_whitespace().collect::<Vec<_>>(), ["2000"; 4], "{status}");
    }
    let folder = std::fs::metadata(format!("/proc/{}/root/app", container.pid)).expect("a slug lies in /app");
    assert_eq!((folder.uid(), folder.gid()), (2000, 2000));
}

#[tokio::test]
async fn a_static_site_is_served() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("static-site").await;
    let body = async |path: &str, status: u16| app.ask(path).await.expect(status).text;
    assert!(body("/", 200).await.contains("<h1>Static on Slipway</h1>"));
    assert!(body("/about", 200).await.contains("<h1>About this site</h1>"));
    assert!(body("/nowhere", 404).await.contains("<h1>This page is not here</h1>"));
    assert!(!body("/.hidden", 404).await.contains("not for visitors"));
    assert_eq!(app.get("").await["structure"], json!({ "web": 1 }));

    repo.edit("public/index.html", "Static on Slipway</h1>", "Static again</h1>");
    repo.commit("Say it again");
    app.push(&repo).await.succeeded();
    assert!(body("/", 200).await.contains("<h1>Static again</h1>"));
}

#[tokio::test]
async fn a_procfile_beside_a_dockerfile_gives_the_process_types() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("web").await, Repo::of("docker-web"));
    repo.commit_file("Procfile", "web: FROM_PROCFILE=yes exec python3 server.py\nworker: exec sleep 1000\n");
    app.push(&repo).await.succeeded().says(&["Procfile declares types -> web, worker"]);
    assert_eq!(app.ask("/env/FROM_PROCFILE").await.json()["FROM_PROCFILE"], "yes");
    app.scale(&json!({ "worker": 2 })).await;
    assert_eq!(counts(&app).await, json!({ "web": 1, "worker": 2 }));

    // Types that the new build does not have any more go with the old release; the others keep their counts.
    repo.commit_file("Procfile", "web: exec python3 server.py\n");
    app.push(&repo).await.succeeded();
    assert_eq!(app.ask("/env/FROM_PROCFILE").await.status, 404);
    assert_eq!(counts(&app).await, json!({ "web": 1 }));
    assert_eq!(app.containers_of("worker").await, []);
}

async fn counts(app: &App<'_>) -> Value {
    app.get("").await["structure"].clone()
}

#[tokio::test]
async fn a_tag_pushed_to_main_and_the_branch_master_are_deployed() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    repo.commit_file("VERSION", "2\n");
    repo.git(&["tag", "release-2"]);
    owner.git(&repo, &["push", &app.remote(), "release-2~0:refs/heads/main"]).await.succeeded();
    assert_eq!(app.page().await["version"], "2");

    let other = owner.create("master").await;
    owner.git(&repo, &["push", &other.remote(), "HEAD:refs/heads/master"]).await.succeeded();
    assert_eq!(other.page().await["version"], "2");
}
