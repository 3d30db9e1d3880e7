//! Clean-up: what no release needs any more goes, what is needed or somebody else's stays.

use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::support::{App, LONG, Options, Repo, SHORT, Slipway, fresh_name, wait_until};

/// Pushes `count` further versions of a page or program.
async fn push_versions(app: &App<'_>, repo: &Repo, file: &str, count: u32) {
    for version in 0..count {
        repo.commit_file(file, &format!("{}\n", version + 2));
        app.push(repo).await.succeeded();
    }
}

/// The engine's references of an app's builds, oldest first.
async fn images(server: &Slipway, app: &App<'_>) -> Vec<String> {
    let mut rows = server.rows("SELECT engine_image FROM builds ORDER BY created_at").await;
    rows.retain(|name| name.contains(&app.name));
    rows
}

async fn present(server: &Slipway, images: &[String]) -> Vec<bool> {
    let mut present = Vec::new();
    for image in images {
        present.push(server.docker().has_image(image).await);
    }
    present
}

/// Makes all slugs look as if nobody had needed them for two hours.
fn age_slugs(server: &Slipway) {
    for entry in std::fs::read_dir(server.data_dir().join("slugs")).expect("the server's own folder") {
        let path = entry.expect("its entry").path();
        let file = std::fs::File::options().write(true).open(path).expect("a slug");
        file.set_modified(SystemTime::now() - Duration::from_secs(7200)).expect("our own file");
    }
}

fn slugs(server: &Slipway) -> usize {
    std::fs::read_dir(server.data_dir().join("slugs")).expect("the server's own folder").count()
}

#[tokio::test]
async fn old_images_go_the_last_releases_stay_restorable_and_nothing_foreign_is_touched() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    push_versions(&app, &repo, "VERSION", 3).await;
    let images = images(&server, &app).await;
    assert_eq!(images.len(), 4, "{images:?}");
    // Whatever somebody else has in the engine: an image, a volume, a name for one of ours, a container of it.
    let docker = server.docker();
    let (foreign, volume) = (server.foreign_image("docker-web").await, fresh_name("volume"));
    docker.create_volume(&volume).await;
    let renamed = format!("slipway-test/{}:1", fresh_name("renamed"));
    let (repository, tag) = renamed.split_once(':').expect("it has a tag");
    docker.tag(&images[1], repository, tag).await;
    server.remove_image_at_the_end(&renamed);
    let looker = docker.run_foreign(&images[0], "bridge").await;

    let keep = [("SLIPWAY_KEEP_RELEASES", "2")];
    let dry = server.cli(&["gc", "--dry-run", "--verbose"], &keep).await.succeeded();
    let dry = dry.says(&[
        &format!("none of the last 2 releases of {} needs it", app.name),
        "uses it",
        "somebody else gave it that name",
        "1 things would go",
    ]);
    assert!(!dry.has(&foreign) && !dry.has(&volume) && !dry.has("slipway/stack"), "{}", dry.output());
    assert_eq!(present(&server, &images).await, [true; 4], "a dry run removes nothing");

    server.cli(&["gc"], &keep).await.succeeded().says(&[&format!("gone    image        {}", images[1])]);
    assert_eq!(present(&server, &images).await, [true, false, true, true], "the first one is used by a container");
    docker.remove(&looker).await;
    server.cli(&["gc"], &keep).await.succeeded().says(&[&images[0], "1 things are gone"]);
    assert_eq!(present(&server, &images).await, [false, false, true, true]);
    for kept in [&foreign, &renamed, "slipway/stack:slipway-12-run", "slipway/stack:slipway-12-build"] {
        assert!(docker.has_image(kept).await, "{kept} is gone");
    }
    assert!(docker.has_volume(&volume).await);
    docker.remove_volume(&volume).await;

    let refused = app.post("/releases/rollback", &json!({ "version": 3 })).await.expect(400);
    assert!(refused.text.contains("v3 cannot come back: its image is gone"), "{}", refused.text);
    assert!(refused.text.contains("again"), "{}", refused.text);
    assert_eq!((app.versions().await[0], app.page().await["version"].as_str()), (5, Some("4")));
    app.post("/releases/rollback", &json!({ "version": 4 })).await.expect(201);
    assert_eq!(app.page().await["version"], "3");
    // The image is gone, the commit is not: a push builds it.
    repo.commit_file("VERSION", "2\n");
    app.push(&repo).await.succeeded();
    assert_eq!(app.page().await["version"], "2");
}

#[tokio::test]
async fn a_slug_brings_its_image_back_until_it_goes_itself() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("static-site").await;
    push_versions(&app, &repo, "public/version.txt", 2).await;
    let images = images(&server, &app).await;
    let keep = [("SLIPWAY_KEEP_RELEASES", "1")];
    server.cli(&["gc"], &keep).await.succeeded().says(&["2 things are gone"]);
    assert_eq!((present(&server, &images).await, slugs(&server)), (vec![false, false, true], 3));
    app.post("/releases/rollback", &json!({ "version": 3 })).await.expect(201);
    assert_eq!(app.ask("/version.txt").await.expect(200).text, "2\n");

    age_slugs(&server);
    server.cli(&["gc"], &keep).await.succeeded().says(&["slug", "3 things are gone"]);
    assert_eq!((present(&server, &images).await, slugs(&server)), (vec![false, true, false], 1));
    for version in [2, 4] {
        let refused = app.post("/releases/rollback", &json!({ "version": version })).await.expect(400);
        assert!(refused.text.contains(&format!("v{version} cannot come back")), "{}", refused.text);
    }
    assert_eq!(app.ask("/version.txt").await.expect(200).text, "2\n");
}

#[tokio::test]
async fn build_caches_are_bounded_and_can_be_emptied() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("hello").await;
    let id = server.rows("SELECT id FROM apps").await.remove(0);
    let cache = format!("slipway-cache-{id}");
    assert!(server.docker().has_volume(&cache).await);
    server.cli(&["gc"], &[]).await.succeeded().says(&["0 things are gone"]);
    assert!(server.docker().has_volume(&cache).await);
    let purged = server.cli(&["cache", "purge", &app.name], &[]).await.succeeded();
    purged.says(&[&format!("the build cache of {} is empty", app.name)]);
    assert!(!server.docker().has_volume(&cache).await);
    server.cli(&["cache", "purge", "nobody"], &[]).await.failed().says(&["app 'nobody' does not exist"]);

    repo.commit_file("NOTE", "again\n");
    app.push(&repo).await.succeeded();
    let small = [("SLIPWAY_BUILD_CACHE_BYTES", "1K")];
    let dry = server.cli(&["gc", "--dry-run"], &small).await.succeeded();
    dry.says(&[&cache, "all build caches together may take 1 KiB"]);
    server.cli(&["gc"], &small).await.succeeded().says(&["1 things are gone"]);
    assert!(!server.docker().has_volume(&cache).await);
    assert!(app.ask("/").await.text.contains("release=v3"));
}

#[tokio::test]
async fn the_server_cleans_up_by_itself_and_a_push_goes_on_meanwhile() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    push_versions(&app, &repo, "VERSION", 2).await;
    let old = images(&server, &app).await;
    server.stop().await;
    server.restart_with(Options::default().env("SLIPWAY_KEEP_RELEASES", "1")).await;
    // Whichever of the two comes first has the app's lock; what clean-up leaves to a push it does some time after that.
    repo.commit_file("VERSION", "4\n");
    app.push(&repo).await.succeeded();
    wait_until("the old images are gone", LONG, async || {
        if present(&server, &old).await == [false; 3] { Ok(()) } else { Err(server.log()) }
    })
    .await;
    assert_eq!(app.page().await["version"], "4");
    wait_until("the operations are over", SHORT, async || {
        let found = server.rows("SELECT kind || ' ' || status FROM operations WHERE kind = 'clean-up'").await;
        let is_done = !found.is_empty() && found.iter().all(|text| text == "clean-up succeeded");
        if is_done { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}
