//! Apps that bring an image of their own: its ports, its command, and the Procfile beside it.

use serde_json::json;

use crate::support::{App, LONG, Repo, Slipway, fresh_name, wait_until};

const BASE: &str = "FROM slipway/stack:slipway-12-run\nENTRYPOINT []\nWORKDIR /srv\nCOPY . .\n";

/// Waits until the app's page says so: the old instances may answer for a moment.
async fn until_says(app: &App<'_>, text: &str) {
    wait_until(&format!("the app says {text}"), LONG, async || {
        let answer = app.try_ask("/").await?;
        if answer.text.trim() == text { Ok(()) } else { Err(answer.line()) }
    })
    .await;
}

/// Which process types run, and how many of each.
async fn running(app: &App<'_>) -> String {
    let ids = app.ids().await;
    ids.iter().map(|(process, ids)| format!("{process}={}", ids.len())).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn of_several_ports_the_lowest_is_the_apps_and_the_config_names_another() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("ports").await, Repo::empty());
    let serves =
        |port: u16| format!("{BASE}EXPOSE 8443 8080\nCMD [\"python3\", \"-m\", \"http.server\", \"{port}\"]\n");
    repo.write("Dockerfile", &serves(8080));
    repo.commit("Two ports");
    let port =
        "Port 8080, the lowest that the Dockerfile exposes (the image has 5000, 8443 as well); the config var PORT";
    app.push(&repo).await.succeeded().says(&[port]);
    app.ask("/Dockerfile").await.expect(200);

    repo.write("Dockerfile", &serves(8443));
    repo.commit("The other one");
    app.push(&repo)
        .await
        .failed()
        .says(&["did not listen on port 8080", "set the config var PORT=8443 and deploy again"]);
    app.ask("/Dockerfile").await.expect(200);
    app.post("/config", &json!({ "values": { "PORT": "http" } })).await.expect(400);
    // What serves now would not come up with it.
    let refused = app.post("/config", &json!({ "values": { "PORT": 8443 } })).await.expect(503);
    assert!(refused.text.contains("did not listen on port 8443"), "{}", refused.text);

    let (app, image) = (owner.create("named").await, owner.create("image").await);
    app.set(&json!({ "PORT": 8443 })).await;
    app.push(&repo).await.succeeded().says(&["Port 8443, which the config var PORT names"]);
    app.ask("/Dockerfile").await.expect(200);
    assert!(app.container().await.env.contains(&"PORT=8443".to_owned()));

    // An image of somebody else's cannot be changed.
    let name = format!("slipway-test/{}:1", fresh_name("two-ports"));
    server.docker().build_dockerfile(&serves(8443), &name).await;
    server.remove_image_at_the_end(&name);
    image.set(&json!({ "PORT": 8443 })).await;
    image.post("/builds", &json!({ "image": name })).await.expect(201);
    image.ask("/Dockerfile").await.expect(200);
}

#[tokio::test]
async fn a_procfile_that_comes_later_serves_and_one_that_goes_gives_way() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("later").await, Repo::empty());
    let command = "CMD [\"python3\", \"-m\", \"http.server\", \"8000\", \"--directory\", \"old\"]\n";
    repo.write("Dockerfile", &format!("{BASE}EXPOSE 8000\n{command}"));
    repo.write("old/index.html", "old\n");
    repo.write("new/index.html", "new\n");
    repo.commit("An image");
    app.push(&repo).await.succeeded();
    app.scale(&json!({ "cmd": 2 })).await;
    until_says(&app, "old").await;

    repo.write("Procfile", "web: python3 -m http.server $PORT --directory new\nworker: sleep 1000\n");
    repo.commit("A Procfile");
    app.push(&repo).await.succeeded().says(&["web serves from now on", "web=2"]);
    until_says(&app, "new").await;
    assert_eq!(running(&app).await, "web=2");

    app.scale(&json!({ "worker": 1 })).await;
    repo.write("Procfile", "worker: sleep 1000\n");
    repo.commit("No web");
    app.push(&repo).await.succeeded().says(&["there is no web any more", "cmd=2"]);
    until_says(&app, "old").await;
    assert_eq!(running(&app).await, "cmd=2 worker=1");

    repo.git(&["rm", "-q", "Procfile"]);
    repo.commit("No Procfile");
    app.push(&repo).await.succeeded();
    assert_eq!(running(&app).await, "cmd=2");

    // Back to the release with the Procfile.
    app.post("/releases/rollback", &json!({ "version": 3 })).await.expect(201);
    until_says(&app, "new").await;
    assert_eq!(running(&app).await, "web=2");
}

#[tokio::test]
async fn an_image_without_a_command_is_refused_with_what_to_add() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("mute").await, Repo::empty());
    // A shell's image has no command once its entry point is cleared and another base's command is not there.
    let mute = "FROM slipway/stack:slipway-12-run AS base\nFROM scratch\nCOPY --from=base / /\n";
    repo.write("Dockerfile", mute);
    repo.commit("No command");
    app.push(&repo).await.failed().says(&[
        "the image has no command",
        "add CMD or ENTRYPOINT to the Dockerfile",
        "Procfile",
    ]);

    repo.write("Procfile", "worker: sleep 1000\n");
    repo.commit("A worker");
    app.push(&repo).await.succeeded().says(&["No web process among worker; start what you need by scaling it"]);
    let refused = app.post("/scale", &json!({ "cmd": 1 })).await.expect(400);
    assert!(refused.text.contains("has no command"), "{}", refused.text);
    app.scale(&json!({ "worker": 1 })).await;
    assert_eq!(running(&app).await, "worker=1");

    let name = format!("slipway-test/{}:1", fresh_name("mute"));
    server.docker().build_dockerfile(mute, &name).await;
    server.remove_image_at_the_end(&name);
    let image = owner.create("image").await;
    let refused = image.post("/builds", &json!({ "image": name })).await.expect(400);
    assert!(refused.text.contains("has no command: use one with CMD or ENTRYPOINT"), "{}", refused.text);
}

#[tokio::test]
async fn what_dockerignore_names_is_not_copied_the_dockerfile_included() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("ignored").await, Repo::empty());
    let serve = "EXPOSE 8000\nCMD [\"python3\", \"-m\", \"http.server\", \"8000\"]\n";
    let mounted = "RUN --mount=target=/files ls -A /files && cp /files/page.txt /tmp/mounted\nADD [\"page.txt\", \"added.txt\"]\n";
    repo.write("Dockerfile", &format!("{BASE}{mounted}{serve}"));
    repo.write(".dockerignore", "# none of these\nDockerfile\n.dockerignore\n");
    repo.write("page.txt", "page\n");
    repo.commit("Rules");
    app.push(&repo).await.succeeded();
    for (path, status) in [("page.txt", 200), ("added.txt", 200), ("Dockerfile", 404), (".dockerignore", 404)] {
        app.ask(&format!("/{path}")).await.expect(status);
    }
}

#[tokio::test]
async fn other_spellings_are_built_as_docker_does_or_refused_with_the_right_one() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("spelling").await, Repo::empty());
    let dockerfile = format!("{BASE}EXPOSE 8000\nCMD [\"python3\", \"-m\", \"http.server\", \"8000\"]\n");
    repo.write("dockerfile", &dockerfile);
    repo.write("index.html", "built\n");
    repo.commit("Lower case");
    app.push(&repo).await.succeeded().says(&["Building image with dockerfile"]);
    until_says(&app, "built").await;
    for (wrong, right) in [("DockerFile", "Dockerfile"), ("Procfile.txt", "Procfile"), ("App.json", "app.json")] {
        repo.git(&["mv", "dockerfile", wrong]);
        repo.commit("Another name");
        app.push(&repo)
            .await
            .failed()
            .says(&[&format!("Nothing reads the file '{wrong}'"), &format!("git mv {wrong} {right}")]);
        repo.git(&["mv", wrong, "dockerfile"]);
    }
}
