//! From creation to destruction: images from elsewhere, logs, and what is left of an app in the end.

use serde_json::{Value, json};

use crate::support::{Docker, PASSWORD, Registry, Repo, SHORT, Slipway, USERNAME, wait_until};

#[tokio::test]
async fn an_image_from_elsewhere_is_deployed() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let app = owner.create("image").await;
    let image = server.foreign_image("docker-web").await;
    let answer = app.post("/builds", &json!({ "image": image })).await.expect(201);
    assert_eq!(answer.header("X-Deis-Release"), "2");
    let build = answer.json();
    assert_eq!(
        (&build["image"], &build["owner"], &build["app"]),
        (&json!(image), &json!("owner"), &json!(app.name)),
        "{build}"
    );
    assert_eq!(app.page().await["version"], "1");
    assert_eq!(app.get("").await["structure"], json!({ "cmd": 1 }));
    assert_eq!(app.get("/releases/v2").await["summary"], format!("owner deployed {image}"));

    let uuid = build["uuid"].as_str().expect("a uuid");
    assert_eq!(app.get("/builds").await["results"][0]["uuid"], uuid);

    // With a Procfile, its commands run in the image.
    let procfile = json!({ "web": "FROM_PROCFILE=1 exec python3 server.py", "clock": "exec sleep 1000" });
    app.post("/builds", &json!({ "image": image, "procfile": procfile })).await.expect(201);
    app.scale(&json!({ "web": 1, "cmd": 0 })).await;
    assert_eq!(app.ask("/env/FROM_PROCFILE").await.json()["FROM_PROCFILE"], "1");

    let before = app.versions().await;
    app.post("/builds", &json!({})).await.expect(400);
    app.post("/builds", &json!({ "image": "not an image" })).await.expect(400);
    let answer = app.post("/builds", &json!({ "image": "slipway-test/nowhere:1" })).await.expect(503);
    assert!(answer.text.contains("slipway-test/nowhere"), "{}", answer.text);
    assert_eq!((app.versions().await, app.page().await["release"].as_str()), (before, Some("v3")));

    let names = server.rows("SELECT engine_image FROM builds WHERE status = 'succeeded'").await;
    assert_eq!(names.len(), 2, "{names:?}");
    owner.delete(&app.path("")).await.expect(204);
    for name in names {
        assert!(!server.docker().has_image(&name).await, "{name} is left");
    }
    assert!(server.docker().has_image(&image).await, "the image itself is not Slipway's to remove");
}

#[tokio::test]
async fn the_image_of_somebody_elses_app_cannot_be_deployed() {
    let server = Slipway::start().await;
    let (owner, stranger) = (server.owner().await, server.stranger().await);
    let (app, _repo) = owner.serving("docker-web").await;
    let image = app.container().await.image;
    let other = stranger.create("thief").await;
    other.post("/builds", &json!({ "image": image.trim_start_matches("sha256:") })).await.expect(400);
    other.post("/builds", &json!({ "image": image.trim_start_matches("sha256:")[..12] })).await.expect(503);
    assert_eq!(other.versions().await, [1]);
}

#[tokio::test]
async fn logs_keep_their_order_across_releases() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    for number in 0..20 {
        app.ask(&format!("/env/NUMBER_{number}")).await;
    }
    app.set(&json!({ "GREETING": "hi" })).await;
    app.ask("/env/AFTER").await;
    let lines = wait_until("the last request is logged", SHORT, async || {
        let lines = app.logs().await;
        if lines.iter().any(|line| line.contains("/env/AFTER")) { Ok(lines) } else { Err(lines.join("\n")) }
    })
    .await;
    // The router has its say about each request too, somewhat later.
    let lines: Vec<String> = lines.into_iter().filter(|line| !line.contains(" deis[router]: ")).collect();

    let numbered: Vec<&String> = lines.iter().filter(|line| line.contains("/env/NUMBER_")).collect();
    assert_eq!(numbered.len(), 20, "{}", lines.join("\n"));
    for (number, line) in numbered.iter().enumerate() {
        assert!(line.contains(&format!("/env/NUMBER_{number} ")) && line.contains("[cmd.1]: "), "{line}");
    }
    let at = |text: &str| {
        lines.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("no '{text}' in {lines:#?}"))
    };
    assert!(at("owner created initial release") < at("v2 by owner: deployed "));
    assert!(at("/env/NUMBER_19") < at("v3 by owner: added GREETING") && at("/env/NUMBER_19") < at("/env/AFTER"));
    let stamp = |line: &String| line.split_whitespace().next().unwrap_or_default().to_owned();
    for line in &lines {
        let stamp = stamp(line);
        assert!(stamp.len() == 22 && stamp.ends_with("UTC"), "no time in '{line}'");
    }

    let answer = owner.get(&app.path("/logs?log_lines=5")).await.expect(200);
    assert!(answer.header("Content-Type").starts_with("text/plain"), "{:?}", answer.headers);
    let last: String = serde_json::from_str(&answer.text).expect("one JSON string");
    assert!(last.ends_with('\n') && last.lines().count() == 5, "{last}");
    assert!(last.contains("/env/AFTER"), "{last}");
}

#[tokio::test]
async fn what_a_failed_boot_said_is_in_the_log() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("crash").await, Repo::of("docker-crash"));
    app.push(&repo).await.failed();
    let lines = app.logs().await.join("\n");
    for text in
        ["[cmd.1]: connecting to the database", "[cmd.1]: cannot connect: no DATABASE_URL", "exited with status 3"]
    {
        assert!(lines.contains(text), "no '{text}' in:\n{lines}");
    }
    assert_eq!(app.versions().await, [1]);
    assert_eq!((app.containers().await, app.ask("/").await.status), (vec![], 503));
}

/// Names of files and folders in the data folder that contain `text`.
fn files_with(server: &Slipway, text: &str) -> Vec<String> {
    let (mut folders, mut found) = (vec![server.data_dir()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
            let path = entry.path();
            found.extend(
                Some(path.display().to_string()).filter(|_| entry.file_name().to_string_lossy().contains(text)),
            );
            folders.extend(Some(path.clone()).filter(|_| path.is_dir() && !path.is_symlink()));
        }
    }
    found
}

async fn objects_of(docker: &Docker, app: &str) -> super::support::Objects {
    docker.objects(&[&format!("io.slipway.app={app}")]).await
}

#[tokio::test]
async fn destroying_an_app_removes_all_of_it_and_frees_its_name() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("static-site").await;
    app.set(&json!({ "GREETING": "hi" })).await;
    let id = server.rows("SELECT id FROM apps").await.remove(0);
    let slug = server.rows("SELECT slug FROM builds").await.remove(0);
    let objects = objects_of(server.docker(), &id).await;
    assert!(
        [&objects.containers, &objects.images, &objects.networks, &objects.volumes].iter().all(|kind| !kind.is_empty()),
        "{objects:?}"
    );
    assert!(!files_with(&server, &id).is_empty() && !files_with(&server, &slug).is_empty());

    owner.delete(&app.path("")).await.expect(204);
    assert_eq!(objects_of(server.docker(), &id).await, super::support::Objects::default());
    assert_eq!((files_with(&server, &id), files_with(&server, &slug)), (vec![], vec![]));
    owner.get(&app.path("")).await.expect(404);
    owner.delete(&app.path("")).await.expect(404);
    app.push(&repo).await.failed().says(&["does not exist"]);
    assert_eq!(app.ask("/").await.status, 404);

    // The name is free, for the same commits too, and nothing of the old app is in the new one.
    owner.post("/apps", &json!({ "id": app.name })).await.expect(201);
    assert_eq!((app.versions().await, app.get("/config").await["values"].clone()), (vec![1], json!({})));
    app.push(&repo).await.succeeded().says(&[":v2 deployed to Slipway"]);
    assert!(app.ask("/").await.expect(200).text.contains("Static on Slipway"));
    assert!(!app.logs().await.join("\n").contains("GREETING"));
}

#[tokio::test]
async fn an_image_is_pulled_with_the_login_of_the_app() {
    let server = Slipway::start_with(Registry::options()).await;
    let owner = server.owner().await;
    let app = owner.create("private").await;
    let (registry, built) = (Registry::start().await, server.foreign_image("docker-web").await);
    let image = registry.take(server.docker(), &built, "team/web").await;
    let deploy = async || app.post("/builds", &json!({ "image": image })).await;
    assert!(deploy().await.expect(503).text.contains("the registry wants a login"));
    app.set(&json!({ "SLIPWAY_REGISTRY_USERNAME": USERNAME })).await;
    assert!(deploy().await.expect(400).text.contains("set both or neither"));
    app.set(&json!({ "SLIPWAY_REGISTRY_PASSWORD": PASSWORD })).await;
    deploy().await.expect(201);
    assert_eq!(app.page().await["version"], "1");
    let record = app.get("/build-records").await["results"][0].clone();
    assert!(record["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{record}");
    let env = app.container().await.env.join(" ");
    assert!(!env.contains(PASSWORD) && !env.contains(USERNAME), "{env}");
    server.docker().remove_image(&image).await;
}

#[tokio::test]
async fn a_container_that_is_not_slipways_survives_the_app_whose_image_it_uses() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let id = server.rows("SELECT id FROM apps").await.remove(0);
    let objects = objects_of(server.docker(), &id).await;
    let image = server.rows("SELECT engine_image FROM builds").await.remove(0);
    let visitor = server.docker().run_foreign(&image, &objects.networks[0]).await;

    owner.delete(&app.path("")).await.expect(204);
    let left = objects_of(server.docker(), &id).await;
    assert_eq!((&left.containers, &left.images), (&vec![visitor.clone()], &objects.images), "only what it needs stays");
    assert!(left.networks.is_empty() && left.volumes.is_empty(), "{left:?}");
    assert_eq!(server.rows("SELECT id FROM apps").await, Vec::<String>::new());

    // A start takes it for nobody's leftover, and another app of that name works beside it.
    server.stop().await;
    server.restart().await;
    assert!(server.docker().containers(&[&format!("io.slipway.app={id}")]).await[0].is_running);
    owner.post("/apps", &json!({ "id": app.name })).await.expect(201);
    app.push(&repo).await.succeeded();
    server.docker().remove(&visitor).await;
}

#[tokio::test]
async fn a_slug_that_another_app_shares_outlives_the_one_that_is_destroyed() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (first, repo) = owner.serving("static-site").await;
    let second = owner.create("second").await;
    second.push(&repo).await.succeeded();
    let slug = server.rows("SELECT DISTINCT slug FROM builds").await;
    assert_eq!(slug.len(), 1, "{slug:?}");
    owner.delete(&first.path("")).await.expect(204);
    assert!(!files_with(&server, &slug[0]).is_empty());
    // A release whose image was lost is made again from its slug, without a build.
    let container = second.container().await;
    second.scale(&json!({ "web": 0 })).await;
    server.docker().remove_image(&container.image).await;
    second.scale(&json!({ "web": 1 })).await;
    assert!(second.ask("/").await.expect(200).text.contains("Static on Slipway"));
    let listed: Value = second.get("/containers").await;
    assert_eq!(listed["results"][0]["state"], "up", "{listed}");
}
