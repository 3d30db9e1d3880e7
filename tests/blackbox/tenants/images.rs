//! Images: the platform's own, private ones, those of other apps.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::alice_and_bob;
use crate::support::{Answer, App, PASSWORD, Registry, Repo, Slipway, Tutum, USERNAME, fresh_name, uri};

/// What only alice may see.
const SECRET: &str = "the recipe of alice";

async fn deploy(app: &App<'_>, image: &str) -> Answer {
    app.post("/builds", &json!({ "image": image })).await
}

async fn log_in(app: &App<'_>) {
    app.set(&json!({ "SLIPWAY_REGISTRY_USERNAME": USERNAME, "SLIPWAY_REGISTRY_PASSWORD": PASSWORD })).await;
}

/// An image of alice's in a registry that asks for a login; its page tells what only she may see.
async fn private_image(server: &Slipway, registry: &Registry) -> String {
    let base = server.foreign_image("docker-web").await;
    let secret = format!("slipway-test/{}:1", fresh_name("secret"));
    let dockerfile = format!("FROM {base}\nENV SECRET_OF_IMAGE=\"{SECRET}\"\n");
    server.docker().build_dockerfile(&dockerfile, &secret).await;
    let reference = registry.take(server.docker(), &secret, "team/secret").await;
    server.docker().remove_image(&secret).await;
    reference
}

/// Whether an app runs something that knows the secret.
async fn has_secret(app: &App<'_>) -> bool {
    let containers = app.containers().await;
    containers.iter().any(|container| container.env.iter().any(|value| value.contains(SECRET)))
}

/// No name of a registry leads to anything in the engine.
async fn assert_unnamed(server: &Slipway, registry: &Registry) {
    let filter = bollard::query_parameters::ListImagesOptionsBuilder::default().digests(true).all(true).build();
    let images = server.docker().client().list_images(Some(filter)).await.expect("the engine answers");
    let names = images.into_iter().flat_map(|image| image.repo_tags.into_iter().chain(image.repo_digests));
    let left: Vec<String> = names.filter(|name| name.starts_with(registry.address())).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_private_image_is_the_apps_whose_login_pulled_it() {
    let server = Slipway::start_with(Registry::options()).await;
    let (alice, bob) = alice_and_bob(&server).await;
    let (hers, his) = (alice.create("hers").await, bob.create("his").await);
    let mut registry = Registry::start().await;
    let image = private_image(&server, &registry).await;
    log_in(&hers).await;

    // Bob asks all the time that alice's pull takes.
    let (deployed, ()) = tokio::join!(deploy(&hers, &image), async {
        for _ in 0..3 {
            deploy(&his, &image).await.expect(503);
        }
    });
    deployed.expect(201);
    assert!(has_secret(&hers).await);
    assert_unnamed(&server, &registry).await;

    let record = hers.get("/build-records").await["results"][0].clone();
    let digest = record["digest"].as_str().expect("a digest").to_owned();
    let repository = image.rsplit_once(':').expect("a tag").0.to_owned();
    let own_name = server.rows("SELECT engine_image FROM builds WHERE status = 'succeeded'").await.remove(0);
    let by_digest = format!("{repository}@{digest}");
    let id = hers.container().await.image;
    for wanted in [&image, &by_digest, &own_name, &format!("docker.io/{own_name}"), &id] {
        let answer = deploy(&his, wanted).await;
        assert!(matches!(answer.status, 400 | 503), "{wanted}: {answer:?}");
    }
    let tagged = json!({ "image": repository, "sha": "c0ffee" });
    his.post("/builds", &tagged).await.expect(503);

    deploy(&hers, &by_digest).await.expect(201);
    assert_unnamed(&server, &registry).await;
    deploy(&his, &by_digest).await.expect(503);

    // Nor does he without the registry, and alice goes on with what she has.
    registry.stop().await;
    for wanted in [&image, &by_digest] {
        deploy(&his, wanted).await.expect(503);
    }
    assert_eq!(his.containers().await, []);
    let before = hers.versions().await[0];
    for wanted in [&image, &by_digest] {
        deploy(&hers, wanted).await.expect(201);
    }
    hers.set(&json!({ "MORE": "1" })).await;
    hers.scale(&json!({ "cmd": 2 })).await;
    hers.post("/releases/rollback", &json!({ "version": before })).await.expect(201);
    assert!(has_secret(&hers).await);
    alice.delete(&hers.path("")).await.expect(204);
    deploy(&his, &image).await.expect(503);
}

#[tokio::test]
async fn a_group_gets_no_private_image_of_another_app() {
    let server = Slipway::start_with(Registry::options()).await;
    let (alice, bob) = alice_and_bob(&server).await;
    let mut registry = Registry::start().await;
    let image = private_image(&server, &registry).await;
    let hers = alice.create("hers").await;
    log_in(&hers).await;
    deploy(&hers, &image).await.expect(201);
    let own_name = server.rows("SELECT engine_image FROM builds WHERE status = 'succeeded'").await.remove(0);
    let bob = Tutum::of(&bob).await;
    let refused = bob.post("/application/", &json!({ "image": own_name })).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    for is_running in [true, false] {
        if !is_running {
            registry.stop().await;
        }
        let group = bob.create(&json!({ "image": image, "name": fresh_name("thief") })).await;
        let group = bob.until(uri(&group), "Stopped").await;
        assert_eq!(group["running_num_containers"], 0, "{group}");
    }
    bob.terminate_all().await;
}

#[tokio::test]
async fn a_name_that_the_operator_gave_means_afterwards_what_it_meant() {
    let server = Slipway::start_with(Registry::options()).await;
    let (alice, bob) = alice_and_bob(&server).await;
    let (hers, his) = (alice.create("hers").await, bob.create("his").await);
    let mut registry = Registry::start().await;
    let image = private_image(&server, &registry).await;
    let operators = server.foreign_image("docker-web").await;
    let (repository, tag) = image.rsplit_once(':').expect("a tag");
    server.docker().tag(&operators, repository, tag).await;
    server.remove_image_at_the_end(&image);
    log_in(&hers).await;
    deploy(&hers, &image).await.expect(201);
    assert!(has_secret(&hers).await);

    // The operator's own image of that name is for everybody, once nobody answers; a refusal is a refusal.
    deploy(&his, &image).await.expect(503);
    registry.stop().await;
    deploy(&his, &image).await.expect(201);
    assert!(!has_secret(&his).await && has_secret(&hers).await);
}

#[tokio::test]
async fn a_crash_between_a_pull_and_its_end_leaves_nothing_to_find() {
    let server = Slipway::start_with(Registry::options()).await;
    let (alice, bob) = alice_and_bob(&server).await;
    let (hers, his) = (alice.create("hers").await, bob.create("his").await);
    let mut registry = Registry::start().await;
    let image = private_image(&server, &registry).await;
    log_in(&hers).await;
    deploy(&hers, &image).await.expect(201);
    let own_name = server.rows("SELECT engine_image FROM builds WHERE status = 'succeeded'").await.remove(0);
    server.kill9().await;
    let (repository, tag) = image.rsplit_once(':').expect("a tag");
    server.docker().tag(&own_name, repository, tag).await;
    // What a server that is killed in the middle of a pull has noted.
    let notes = server.data_dir().join("pulls");
    std::fs::write(notes.join("left"), json!({ "reference": image, "before": null }).to_string())
        .expect("our own folder");
    server.restart().await;
    assert_unnamed(&server, &registry).await;
    registry.stop().await;
    deploy(&his, &image).await.expect(503);
    assert!(has_secret(&hers).await);
}

#[tokio::test]
async fn nobody_replaces_the_platforms_own_images() {
    let server = Slipway::start_with(Registry::options()).await;
    let (alice, bob) = alice_and_bob(&server).await;
    let docker = server.docker();
    let id_of = async |name: &str| docker.client().inspect_image(name).await.ok().and_then(|image| image.id);
    let own = ["slipway/stack:slipway-12-build", "slipway/stack:slipway-12-run"];
    let before = [id_of(own[0]).await, id_of(own[1]).await];
    let his = bob.create("his").await;
    let tutum = Tutum::of(&bob).await;
    for prefix in ["", "docker.io/", "index.docker.io/", "DOCKER.IO/", "Index.docker.io/"] {
        for name in [
            "slipway/stack:slipway-12-build",
            "slipway/stack",
            "slipway/build-ca:1",
            "slipway/app-hers:1",
            "slipway/a/b",
        ] {
            let image = format!("{prefix}{name}");
            deploy(&his, &image).await.expect(400);
            his.post("/builds", &json!({ "image": image, "sha": "c0ffee" })).await.expect(400);
            let refused = tutum.post("/application/", &json!({ "image": image })).await;
            assert_eq!(refused.status, 400, "{image}: {refused:?}");
        }
    }
    deploy(&his, "SLIPWAY/stack:slipway-12-build").await.expect(400);

    // A registry of bob's may call its images so: that is another name, and nobody builds with it.
    let registry = Registry::start().await;
    let evil = server.foreign_image("docker-web").await;
    let image = registry.take(docker, &evil, "slipway/stack").await;
    log_in(&his).await;
    deploy(&his, &image).await.expect(201);
    assert_eq!([id_of(own[0]).await, id_of(own[1]).await], before);
    let hers = alice.create("hers").await;
    hers.push(&Repo::of("static-site")).await.succeeded();
}

#[tokio::test]
async fn the_stacks_repository_is_the_platforms_wherever_it_is() {
    let registry = Registry::start().await;
    let repository = format!("{}/team/stack", registry.address());
    let server = Slipway::start_with(Registry::options().env("SLIPWAY_STACK", &repository)).await;
    let docker = server.docker();
    let evil = server.foreign_image("docker-web").await;
    let image = registry.take(docker, &evil, "team/stack").await;
    for part in ["run", "build"] {
        let name = format!("slipway-12-{part}");
        docker.tag(&format!("slipway/stack:{name}"), &repository, &name).await;
        server.remove_image_at_the_end(&format!("{repository}:{name}"));
    }
    let (alice, bob) = alice_and_bob(&server).await;
    let his = bob.create("his").await;
    log_in(&his).await;
    for wanted in [&image, &format!("{repository}:slipway-12-build"), &repository] {
        deploy(&his, wanted).await.expect(400);
    }
    let (hers, repo) = (alice.create("hers").await, Repo::of("static-site"));
    hers.push(&repo).await.succeeded();

    // An image of that name that no recipe made is not built with, whoever named it so.
    docker.build_dockerfile("FROM scratch\nCMD [\"/evil\"]\n", &format!("{repository}:slipway-12-build")).await;
    repo.commit_file("more", "x\n");
    hers.push(&repo).await.failed().says(&["is missing on this server"]);
}

#[tokio::test]
async fn what_a_removed_collaborator_left_in_the_cache_is_not_used() {
    let server = Slipway::start_with(Registry::options()).await;
    let (alice, bob) = alice_and_bob(&server).await;
    let hers = alice.create("hers").await;
    hers.post("/perms", &json!({ "username": "bob" })).await.expect(201);
    let repo = Repo::empty();
    repo.write("requirements.txt", "");
    repo.write("Procfile", "web: exec python -m http.server $PORT\n");
    repo.write("bin/post_compile", "#!/bin/sh\ncat /cache/left 2>/dev/null; echo poison > /cache/left\n");
    let script = repo.tree().join("bin/post_compile");
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).expect("our own file");
    repo.commit("An app that looks into its cache");
    bob.git(&repo, &["push", &bob.remote(&hers.name), "HEAD:refs/heads/main"]).await.succeeded();

    // As long as bob is in, his builds and hers share what they cache.
    repo.commit_file("one", "1\n");
    hers.push(&repo).await.succeeded().says(&["poison"]);
    let volumes = async || {
        let found = server.docker().objects(&[&format!("io.slipway.server={}", server.id().await)]).await;
        found.volumes
    };
    let before = volumes().await;
    alice.delete(&hers.path("/perms/bob")).await.expect(204);

    // The same tree is built, and from nothing.
    repo.git(&["commit", "--allow-empty", "-q", "-m", "Again"]);
    let pushed = hers.push(&repo).await.succeeded();
    assert!(!pushed.has("poison") && !pushed.has("Nothing to build"), "{}", pushed.output());
    server.cli(&["gc"], &[]).await.succeeded().says(&["has lost access to its app"]);
    let after = volumes().await;
    assert!(before.iter().all(|volume| !after.contains(volume)) && after.len() == 1, "{before:?} {after:?}");

    // Nor is what alice left, once the app is given away; and in the end there is nothing of any of them.
    alice.post(&hers.path(""), &json!({ "owner": "bob" })).await.expect(200);
    repo.git(&["commit", "--allow-empty", "-q", "-m", "His"]);
    let pushed = bob.git(&repo, &["push", &bob.remote(&hers.name), "HEAD:refs/heads/main"]).await.succeeded();
    assert!(!pushed.has("poison") && !pushed.has("Nothing to build"), "{}", pushed.output());
    bob.delete(&hers.path("")).await.expect(204);
    assert!(volumes().await.is_empty());
}
