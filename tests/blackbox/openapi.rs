//! The API against its own description: schemathesis asks for all that the OpenAPI document allows, and for what it forbids.
//!
//! It fails on a 500, a status, header or body that is not described, invalid input that is taken, valid input that is
//! not, a token that is not asked for, a method that should not be there. `openapi/` says how it is led.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Answer, KeyKind, Options, Running, Slipway, Tutum, User, prepared};

/// Longest time that one run may take; on an idle machine the longest takes about two minutes.
const LIMIT: Duration = Duration::from_secs(900);
/// What the server and the operator's builder share.
const BUILDER_KEY: &str = "a-long-random-text";

#[tokio::test]
async fn the_descriptions_are_valid_openapi() {
    let server = Slipway::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for path in ["/v1/openapi.json", "/api/v1/openapi.json"] {
        let request = server.http().get(format!("http://{}{path}", server.addresses().api));
        let document = Answer::to(request, path).await.expect("the server answers").expect(200);
        let file = folder.path().join("openapi.json");
        std::fs::write(&file, &document.text).expect("a fresh folder can be written to");
        let validator = Running::start(Command::new(program("openapi-spec-validator")).arg(&file));
        validator.finish().await.succeeded().says(&["OK"]);
    }
}

#[tokio::test]
async fn the_api_is_as_it_is_described() {
    // Made-up commands and configs start instances that never listen; nobody has to wait for those for long.
    let options = Options::default().env("SLIPWAY_BOOT_TIMEOUT", "15s").env("SLIPWAY_BUILDER_KEY", BUILDER_KEY);
    let server = Slipway::start_with(options).await;
    let admin = server.admin().await;
    let owner = User::register(&server, "owner", KeyKind::Ed25519).await;
    let leaver = User::register(&server, "leaver", KeyKind::Ed25519).await;
    User::register(&server, "bob", KeyKind::Ed25519).await;
    let (image, build) = deployed(&server, &owner).await;
    let run = async |user: &User<'_>, options: &[&str]| {
        let mut command = Command::new(program("schemathesis"));
        command.args(["--config-file", "schemathesis.toml", "run", "--checks", "all", "--no-color"]).args(options);
        command.args(["--header", &format!("Authorization: token {}", user.token)]);
        command.args(["--header", &format!("X-Deis-Builder-Auth: {BUILDER_KEY}")]).arg(document(&server));
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/blackbox/openapi"));
        command.env("SLIPWAY_IMAGE", &image).env("SLIPWAY_BUILD", &build).env("SLIPWAY_PASSWORD", &user.password);
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("NO_PROXY", "*");
        Running::start(&mut command).called(format!("schemathesis as {}", user.name)).finish_within(LIMIT).await
    };
    // What ends the token that all requests carry comes last, with the token of somebody else.
    let last = ["/v1/auth/tokens", "/v1/auth/cancel"];
    run(&owner, &["--exclude-path", last[0], "--exclude-path", last[1]]).await.succeeded();
    let of_administrators = "^/v1/(admin|users)";
    run(&admin, &["--include-path-regex", of_administrators]).await.succeeded();
    run(&leaver, &["--include-path", last[0], "--include-path", last[1]]).await.succeeded();
    owner.get("/apps/hello").await.expect(200);
}

#[tokio::test]
async fn the_tutum_api_is_as_it_is_described() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let bob = Tutum::of(&owner).await;
    let image = server.foreign_image("docker-web").await;
    let made = bob.running(&image, "hello", json!({})).await;
    let uuid = |value: &Value| value["uuid"].as_str().expect("a uuid").to_owned();
    let container = uuid(&bob.containers(&made).await[0]);
    let document = format!("http://{}/api/v1/openapi.json", server.addresses().api);
    let mut command = Command::new(program("schemathesis"));
    command.args(["--config-file", "schemathesis.toml", "run", "--checks", "all", "--no-color"]);
    command.args(["--exclude-path", "/api/v1/auth/"]);
    // A deletion is promised with a 202, and what it ended is shown as `Terminated` for minutes: no 404 is due.
    command.args(["--exclude-checks", "use_after_free"]);
    command.args(["--header", &format!("Authorization: ApiKey {}:{}", bob.name, bob.key)]).arg(document);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/blackbox/openapi"));
    command.env("SLIPWAY_IMAGE", &image).env("SLIPWAY_BUILD", "").env("SLIPWAY_PASSWORD", &owner.password);
    command.env("SLIPWAY_APPLICATION", uuid(&made)).env("SLIPWAY_CONTAINER", container);
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("NO_PROXY", "*");
    let running = Running::start(&mut command).called("schemathesis at the Tutum door".to_owned());
    running.finish_within(LIMIT).await.succeeded();
    bob.get("/application/").await.expect(200);
}

/// The apps that `openapi/hooks.py` leads requests to; yields their image and the build of the running one.
async fn deployed(server: &Slipway, owner: &User<'_>) -> (String, String) {
    let image = server.foreign_image("docker-web").await;
    for name in ["hello", "idle", "new", "spare-to-destroy", "spare-to-give"] {
        owner.post("/apps", &json!({ "id": name })).await.expect(201);
    }
    let mut build = Value::Null;
    for name in ["idle", "hello"] {
        let answer = owner.post(&format!("/apps/{name}/builds"), &json!({ "image": image })).await.expect(201);
        build = answer.json()["uuid"].clone();
    }
    owner.post("/apps/idle/scale", &json!({ "cmd": 0 })).await.expect(204);
    (image, build.as_str().expect("a uuid").to_owned())
}

fn document(server: &Slipway) -> String {
    format!("http://{}/v1/openapi.json", server.addresses().api)
}

/// A program of schemathesis' virtual environment.
fn program(name: &str) -> PathBuf {
    let folder = prepared("schemathesis");
    assert!(folder.join("stamp").exists(), "schemathesis is not in {}. Type: make test", folder.display());
    folder.join("venv/bin").join(name)
}
