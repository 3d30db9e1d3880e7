//! How a tree asks to be built and released, whose turn it is, and what is known of a build afterwards.

use serde_json::{Value, json};

use crate::support::{Answer, App, LONG, Options, Repo, SHORT, Slipway, fixture_dir, wait_until};

/// The newest record of an app.
async fn newest(app: &App<'_>) -> Value {
    app.get("/build-records").await["results"][0].clone()
}

#[tokio::test]
async fn a_part_of_a_repository_is_built_by_another_dockerfile_up_to_a_stage() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("mono").await, Repo::empty());
    for file in ["server.py", "VERSION"] {
        let text = std::fs::read_to_string(fixture_dir("docker-web").join(file)).unwrap();
        repo.write(&format!("services/api/{file}"), &text);
    }
    repo.write("services/api/Procfile", "web: STARTED_BY=procfile exec python3 server.py\n");
    let dockerfile = "FROM slipway/stack:slipway-12-run AS base\nENTRYPOINT []\nWORKDIR /srv\nCOPY . /srv\nEXPOSE 8000\n\
                      FROM base AS serving\nENV STAGE=serving\nFROM base AS broken\nUSER 0\nRUN false\n";
    repo.write("services/api/deploy/api.Dockerfile", dockerfile);
    // Rules of the one Dockerfile's own, and of the root, which is not what is built.
    repo.write("services/api/deploy/api.Dockerfile.dockerignore", "secret.txt\n");
    repo.write("services/api/secret.txt", "secret\n");
    repo.write(".dockerignore", "services\n");
    repo.write("slipway-build.toml", "directory = 'services/nowhere'\n");
    repo.commit("A service among others");
    app.push(&repo).await.failed().says(&["There is no directory 'services/nowhere'", "slipway-build.toml"]);

    repo.write(
        "slipway-build.toml",
        "directory = 'services/api'\ndockerfile = 'deploy/api.Dockerfile'\ntarget = 'serving'\n",
    );
    repo.commit("Say where it is");
    app.push(&repo).await.succeeded().says(&["deploy/api.Dockerfile, stage serving", ":v2 deployed to Slipway"]);
    let files = app.ask("/files").await.expect(200).text;
    assert!(files.contains("server.py") && !files.contains("secret.txt"), "{files}");
    let env = app.container().await.env;
    assert!(env.contains(&"STAGE=serving".to_owned()), "{env:?}");

    // The app's config goes before the file: another app may build another part.
    app.set(&json!({ "SLIPWAY_BUILD_TARGET": "broken" })).await;
    repo.commit_file("services/api/VERSION", "2");
    app.push(&repo).await.failed().says(&["stage broken"]);
    app.set(&json!({ "SLIPWAY_BUILD_DIRECTORY": "../elsewhere" })).await;
    app.push(&repo).await.failed().says(&["'../elsewhere' leads out of the repository", "SLIPWAY_BUILD_DIRECTORY"]);
}

#[tokio::test]
async fn a_build_secret_is_read_and_reaches_no_layer() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("secret").await, Repo::of("docker-web"));
    let dockerfile = std::fs::read_to_string(fixture_dir("docker-web").join("Dockerfile")).unwrap();
    let reading =
        "USER 0\nRUN --mount=type=secret,id=DEPLOY_TOKEN sha256sum < /run/secrets/DEPLOY_TOKEN > /tmp/digest\nEXPOSE";
    repo.write("Dockerfile", &dockerfile.replace("EXPOSE", reading));
    repo.commit("Read a secret");
    app.set(&json!({ "DEPLOY_TOKEN": "the-secret-of-this-test" })).await;
    app.push(&repo).await.failed().says(&["DEPLOY_TOKEN"]);

    repo.write("slipway-build.toml", "secrets = ['DEPLOY_TOKEN']\n");
    repo.commit("Say that it is one");
    app.push(&repo).await.succeeded();
    let ran = app.post("/run", &json!({ "command": "cat /tmp/digest" })).await.expect(200).text;
    assert!(ran.contains("a1c11263923dff2a24abbc48c33fdf2a44f6513728509a297ae0bcb6bc74f436"), "{ran}");
    let image = server.rows("SELECT engine_image FROM builds WHERE status = 'succeeded'").await.remove(0);
    let found = server.docker().layers_with(&image, "the-secret-of-this-test").await;
    assert_eq!(found, Vec::<String>::new(), "no layer and no part of the history holds it");

    // Another value is another build.
    app.set(&json!({ "DEPLOY_TOKEN": "changed" })).await;
    repo.git(&["commit", "-q", "--allow-empty", "-m", "Nothing changed"]);
    let again = app.push(&repo).await.succeeded();
    assert!(!again.has("Nothing to build"), "{}", again.output());
}

/// A Dockerfile app whose `release` command and scripts say what they see.
fn with_scripts(release: &str, predeploy: &str) -> Repo {
    let repo = Repo::of("docker-web");
    repo.write("Procfile", &format!("web: exec python3 server.py\nworker: exec sleep 1000\nrelease: {release}\n"));
    let app_json = json!({
        "env": {
            "LEVEL": "info",
            "SECRET_KEY": { "generator": "secret" },
            "MAIL_FROM": { "description": "the sender of mails" },
            "OPTIONAL": { "required": false },
        },
        "formation": { "web": { "quantity": 2 }, "worker": 1, "absent": 3 },
        "scripts": {
            "postdeploy": "echo first deploy only",
            "dokku": { "predeploy": predeploy, "postdeploy": "echo after the switch; exit 7" },
        },
    });
    repo.write("app.json", &app_json.to_string());
    repo.commit("Ask for things");
    repo
}

#[tokio::test]
async fn app_json_asks_for_config_a_formation_and_scripts() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let app = owner.create("wishes").await;
    let repo = with_scripts("echo level=$LEVEL release=$DEIS_RELEASE", "echo before the switch");
    let refused = app.push(&repo).await.failed();
    refused.says(&[
        "config vars that are not set: MAIL_FROM",
        "MAIL_FROM: the sender of mails",
        "deis config:set MAIL_FROM=...",
    ]);
    assert_eq!((app.versions().await, app.get("/config").await["values"].clone()), (vec![1], json!({})));

    app.set(&json!({ "MAIL_FROM": "a@example.com" })).await;
    app.push(&repo).await.succeeded().says(&[
        "LEVEL, SECRET_KEY",
        "Running the predeploy script: echo before the switch",
        "       before the switch",
        "Running the release command: echo level=$LEVEL",
        "       level=info release=v3",
        "       first deploy only",
        "       after the switch",
        "the postdeploy script ended with status 7",
        "v3 serves all the same",
        ":v3 deployed to Slipway",
    ]);
    let values = app.get("/config").await["values"].clone();
    let secret = values["SECRET_KEY"].as_str().expect("a secret").to_owned();
    assert!(secret.len() == 64 && secret.bytes().all(|b| b.is_ascii_hexdigit()), "{secret}");
    assert_eq!((&values["LEVEL"], &values["OPTIONAL"]), (&json!("info"), &Value::Null));
    assert_eq!(app.get("").await["structure"], json!({ "web": 2, "worker": 1 }));

    // What the app has is kept, and the formation is the app's own from the first deploy on.
    app.scale(&json!({ "web": 1 })).await;
    app.set(&json!({ "LEVEL": "debug" })).await;
    repo.commit_file("VERSION", "2");
    let second = app.push(&repo).await.succeeded().says(&["       level=debug release=v5", "       after the switch"]);
    assert!(!second.has("first deploy only"), "{}", second.output());
    assert_eq!(app.get("/config").await["values"]["SECRET_KEY"], secret);
    assert_eq!(app.get("").await["structure"], json!({ "web": 1, "worker": 1 }));
}

#[tokio::test]
async fn a_release_command_that_fails_keeps_the_old_release_serving() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    repo.write("Procfile", "web: exec python3 server.py\nrelease: echo migrating; test \"$SCHEMA\" != bad\n");
    repo.write("VERSION", "2");
    repo.commit("Migrate at each release");
    app.push(&repo).await.succeeded().says(&["       migrating", ":v3 deployed to Slipway"]);
    let before = app.snapshot(&repo).await;

    // A change of config is a release, too: the command runs with the new config, and decides.
    let refused = app.post("/config", &json!({ "values": { "SCHEMA": "bad" } })).await.expect(503);
    assert!(refused.text.contains("the release command ended with status 1"), "{}", refused.text);
    app.assert_unchanged(&repo, &before).await;

    repo.write("Procfile", "web: exec python3 server.py\nrelease: echo no such table >&2; exit 3\n");
    repo.commit("Migrate wrongly");
    let refused = app.push(&repo).await.failed();
    refused.says(&["       no such table", "the release command ended with status 3", "Its output is above"]);
    assert_eq!((app.versions().await, app.get("/config").await["values"].clone()), (vec![3, 2, 1], json!({})));
    assert_eq!(app.page().await["version"], "2");
}

#[tokio::test]
async fn every_attempt_to_build_is_on_record() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("record").await, Repo::of("bad-procfile"));
    app.push(&repo).await.failed();
    let record = newest(&app).await;
    assert_eq!((&record["status"], &record["source"]), (&json!("failed"), &json!(repo.head())), "{record}");
    assert!(record["error"].as_str().unwrap().contains("Procfile line"), "{record}");
    let log = async |record: &Value| {
        let uuid = record["uuid"].as_str().unwrap();
        owner.get(&app.path(&format!("/build-records/{uuid}/log"))).await.expect(200).text
    };
    assert!(log(&record).await.contains(" !     Procfile line"));

    let commit = repo.become_app("docker-web");
    app.push(&repo).await.succeeded();
    let first = newest(&app).await;
    assert_eq!((&first["status"], &first["source"]), (&json!("succeeded"), &json!(commit)), "{first}");
    assert!(first["digest"].as_str().unwrap().starts_with("sha256:") && first["size_bytes"].as_i64().unwrap() > 0);
    let phases: Vec<&str> = first["phases"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert!(phases[0].starts_with("Building image with the Dockerfile") && phases.len() > 2, "{phases:?}");
    assert!(log(&first).await.contains("deployed to Slipway"));
    assert_eq!(app.get(&format!("/build-records/{}", first["uuid"].as_str().unwrap())).await, first);

    // The same tree again: nothing is built, and the record says whose image it is.
    repo.git(&["commit", "-q", "--allow-empty", "-m", "Nothing changed"]);
    app.push(&repo).await.succeeded().says(&["Nothing to build"]);
    let second = newest(&app).await;
    assert_eq!((&second["reused"], &second["digest"]), (&first["uuid"], &first["digest"]), "{second}");
    let with_option = async |option: &str| {
        repo.git(&["commit", "-q", "--allow-empty", "-m", option]);
        owner.git(&repo, &["push", "-o", option, &app.remote(), "HEAD:main"]).await
    };
    with_option("ci.skip").await.succeeded().says(&["Unknown push option 'ci.skip', ignored", "Nothing to build"]);
    let again = with_option("redeploy").await.succeeded().says(&["Building image with the Dockerfile"]);
    assert!(!again.has("Nothing to build"), "{}", again.output());
    let image = server.foreign_image("docker-web").await;
    app.post("/builds", &json!({ "image": image })).await.expect(201);
    let third = newest(&app).await;
    assert_eq!((&third["source_kind"], &third["source"]), (&json!("image"), &json!(image)), "{third}");
    assert_eq!(app.get("/build-records").await["count"], 6);

    let logs = server.data_dir().join("build-logs");
    assert_eq!(std::fs::read_dir(&logs).unwrap().count(), 6);
    owner.delete(&app.path("")).await.expect(204);
    assert_eq!(std::fs::read_dir(&logs).unwrap().count(), 0, "they go with the app");
}

#[tokio::test]
async fn an_uploaded_archive_is_deployed_like_a_push() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, folder) = (owner.create("upload").await, tempfile::tempdir().unwrap());
    let pack = |name: &str, options: &[&str], of: &[&str]| {
        let path = folder.path().join(name);
        let mut tar = std::process::Command::new("tar");
        let made = tar.current_dir(fixture_dir("")).arg("-czf").arg(&path).args(options).args(of).status().unwrap();
        assert!(made.success(), "{tar:?}");
        std::fs::read(path).unwrap()
    };
    let upload = async |archive: Vec<u8>, query: &str| {
        let request = owner.request(reqwest::Method::POST, &app.path(&format!("/archives{query}"))).body(archive);
        Answer::to(request, "POST archives").await.unwrap()
    };
    // With and without a folder around it all, it is one and the same tree.
    let packed = pack("around.tgz", &[], &["docker-web"]);
    let built = upload(packed, "").await.expect(201);
    assert_eq!((built.header("deis-release"), app.page().await["version"].as_str()), ("2", Some("1")));
    let record = newest(&app).await;
    assert_eq!((&record["source_kind"], &record["source"]), (&json!("archive"), &built.json()["sha"]), "{record}");
    let flat = pack("flat.tgz", &["-C", "docker-web"], &["."]);
    upload(flat.clone(), "").await.expect(201);
    assert_eq!(newest(&app).await["reused"], record["uuid"], "nothing had to be built");
    upload(flat.clone(), "?redeploy=true").await.expect(201);
    assert_eq!(newest(&app).await["reused"], Value::Null);

    // What cannot be taken changes nothing, and says what is wrong.
    let refused = async |archive: Vec<u8>, query: &str, says: &str| {
        let text = upload(archive, query).await.expect(400).json()["detail"].to_string();
        assert!(text.contains(says), "{text}");
    };
    refused(pack("up.tgz", &["-P", "--transform=s,^docker-web/,../,"], &["docker-web/server.py"]), "", "..").await;
    refused(flat[..flat.len() / 2].to_vec(), "", "cut off").await;
    refused(b"PK\x03\x04".to_vec(), "", "zip archive").await;
    refused(flat, "?redeploy=perhaps", "true or false").await;
    assert_eq!((app.versions().await, app.get("/build-records").await["count"].clone()), (vec![4, 3, 2, 1], json!(3)));
    assert_eq!(app.page().await["version"], "1");
}

#[tokio::test]
async fn builds_wait_for_their_turn_and_can_be_called_off() {
    let server = Slipway::start_with(Options::default().env("SLIPWAY_BUILD_CONCURRENCY", "1")).await;
    let owner = server.owner().await;
    let (slow, quick) = (owner.create("slow").await, owner.create("quick").await);
    let (slow_repo, quick_repo) = (Repo::of("docker-slow-build"), Repo::of("docker-web"));
    let mut building = slow.start_push(&slow_repo);
    building.line("still building: 1 s").await;
    let mut waiting = quick.start_push(&quick_repo);
    waiting.line("Waiting for a turn to build: 1 build goes first").await;

    let record = newest(&slow).await;
    assert_eq!(record["status"], "pending", "{record}");
    let path = slow.path(&format!("/build-records/{}", record["uuid"].as_str().unwrap()));
    owner.delete(&path).await.expect(204);
    building.finish_within(SHORT).await.failed().says(&["cancelled"]);
    assert_eq!(newest(&slow).await["status"], "failed");
    let over = owner.delete(&path).await.expect(409);
    assert!(over.text.contains("is over"), "{}", over.text);
    waiting.finish_within(LONG).await.succeeded().says(&[":v2 deployed to Slipway"]);
    wait_until("no container of the build is left", SHORT, async || {
        let left = server.docker().build_containers(&server.id().await).await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

#[tokio::test]
async fn no_build_begins_without_room_for_it() {
    let server = Slipway::start_with(Options::default().env("SLIPWAY_MIN_FREE_DISK", "1000T")).await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("full").await, Repo::of("docker-web"));
    app.push(&repo).await.failed().says(&["too little room", "are missing", "slipway gc"]);
    let mut options = Options::default().env("SLIPWAY_BUILD_IMAGE_SIZE", "1M");
    options = options.env("SLIPWAY_MIN_FREE_DISK", "0");
    server.stop().await;
    server.restart_with(options).await;
    app.push(&repo).await.failed().says(&["the image has", "and may have 1.0 MB", "several stages"]);
}
