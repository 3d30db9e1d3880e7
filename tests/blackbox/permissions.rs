//! Who may do what (spec §1.9), in one table over every endpoint that the API describes, and over git.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, KeyKind, Options, Repo, Slipway, Tutum, User, uri};

/// The callers of the table, in the order of its columns.
const CALLERS: [&str; 5] = ["anonymous", "stranger", "collaborator", "owner", "administrator"];

/// Anybody may.
const ANYBODY: fn(u16) -> [u16; 5] = |status| [status; 5];
/// Whoever has an account.
const USERS: fn(u16) -> [u16; 5] = |status| [401, status, status, status, status];
/// Whoever works with the app; for everybody else it is not there.
const SHARED: fn(u16) -> [u16; 5] = |status| [401, 404, status, status, status];
/// Whom the app belongs to.
const OWNER: fn(u16) -> [u16; 5] = |status| [401, 404, 403, status, status];
/// Administrators.
const ADMIN: fn(u16) -> [u16; 5] = |status| [401, 403, 403, 403, status];
/// Whose application it is; for everybody else it is not there (Tutum, spec §2.7).
const OWN: fn(u16) -> [u16; 5] = |status| [401, 404, 404, status, 404];
/// Nobody with a token: the operator's own builder.
const BUILDER: [u16; 5] = [401, 403, 403, 403, 403];

/// A request, and the status that each caller gets.
///
/// What would change something is asked in a way that is refused *after* the permission (a field is missing, the thing
/// does not exist), except where the table says otherwise by its status.
struct Row {
    method: Method,
    path: &'static str,
    body: Value,
    expect: [u16; 5],
}

fn get(path: &'static str, expect: [u16; 5]) -> Row {
    Row { method: Method::GET, path, body: Value::Null, expect }
}

fn post(path: &'static str, body: Value, expect: [u16; 5]) -> Row {
    Row { method: Method::POST, path, body, expect }
}

fn patch(path: &'static str, body: Value, expect: [u16; 5]) -> Row {
    Row { method: Method::PATCH, path, body, expect }
}

fn delete(path: &'static str, expect: [u16; 5]) -> Row {
    Row { method: Method::DELETE, path, body: Value::Null, expect }
}

fn table() -> Vec<Row> {
    let none = || json!({});
    vec![
        get("/v1/openapi.json", ANYBODY(200)),
        post("/v1/auth/register", none(), ANYBODY(400)),
        post("/v1/auth/login", none(), ANYBODY(400)),
        post("/v1/auth/passwd", none(), USERS(400)),
        post("/v1/auth/tokens", json!({ "all": "perhaps" }), USERS(400)),
        get("/v1/users", ADMIN(200)),
        get("/v1/quotas", USERS(200)),
        get("/v1/admin/quotas/{username}", ADMIN(404)),
        patch("/v1/admin/quotas/{username}", none(), ADMIN(404)),
        get("/v1/admin/perms", ADMIN(200)),
        post("/v1/admin/perms", none(), ADMIN(400)),
        delete("/v1/admin/perms/{username}", ADMIN(404)),
        get("/v1/keys", USERS(200)),
        post("/v1/keys", none(), USERS(400)),
        get("/v1/keys/{id}", USERS(404)),
        delete("/v1/keys/{id}", USERS(404)),
        get("/v1/certs", USERS(200)),
        post("/v1/certs", none(), USERS(400)),
        get("/v1/certs/{common_name}", USERS(404)),
        delete("/v1/certs/{common_name}", USERS(404)),
        get("/v1/apps", USERS(200)),
        post("/v1/apps", json!({ "id": "" }), USERS(400)),
        get("/v1/apps/{app}", SHARED(200)),
        post("/v1/apps/{app}", none(), OWNER(400)),
        get("/v1/apps/{app}/perms", SHARED(200)),
        post("/v1/apps/{app}/perms", none(), OWNER(400)),
        delete("/v1/apps/{app}/perms/{username}", OWNER(404)),
        post("/v1/apps/{app}/scale", json!({ "web": null }), SHARED(400)),
        post("/v1/apps/{app}/run", none(), SHARED(400)),
        get("/v1/apps/{app}/cron", SHARED(200)),
        post("/v1/apps/{app}/cron/{task}/run", none(), SHARED(404)),
        get("/v1/apps/{app}/logs", SHARED(200)),
        get("/v1/apps/{app}/log-drains", SHARED(200)),
        post("/v1/apps/{app}/log-drains", none(), SHARED(400)),
        delete("/v1/apps/{app}/log-drains/{uuid}", SHARED(404)),
        get("/v1/apps/{app}/config", SHARED(200)),
        post("/v1/apps/{app}/config", json!({ "values": "no map" }), SHARED(400)),
        get("/v1/apps/{app}/builds", SHARED(200)),
        post("/v1/apps/{app}/builds", none(), SHARED(400)),
        get("/v1/apps/{app}/builds/{uuid}", SHARED(404)),
        post("/v1/apps/{app}/archives", none(), SHARED(415)),
        get("/v1/apps/{app}/certs", SHARED(200)),
        get("/v1/apps/{app}/build-records", SHARED(200)),
        get("/v1/apps/{app}/build-records/{uuid}", SHARED(404)),
        delete("/v1/apps/{app}/build-records/{uuid}", SHARED(404)),
        get("/v1/apps/{app}/build-records/{uuid}/log", SHARED(404)),
        get("/v1/apps/{app}/releases", SHARED(200)),
        get("/v1/apps/{app}/releases/{version}", SHARED(200)),
        post("/v1/apps/{app}/releases/rollback", json!({ "version": "x" }), SHARED(400)),
        get("/v1/apps/{app}/domains", SHARED(200)),
        post("/v1/apps/{app}/domains", none(), SHARED(400)),
        delete("/v1/apps/{app}/domains/{domain}", OWNER(404)),
        get("/v1/apps/{app}/routing", SHARED(200)),
        patch("/v1/apps/{app}/routing", json!({ "https": "always" }), SHARED(400)),
        get("/v1/apps/{app}/containers", SHARED(200)),
        get("/v1/apps/{app}/containers/restart", SHARED(200)),
        get("/v1/apps/{app}/containers/{type}", SHARED(200)),
        get("/v1/apps/{app}/containers/{type}/{num}", SHARED(404)),
        post("/v1/apps/{app}/containers/restart", none(), SHARED(400)),
        post("/v1/apps/{app}/containers/{type}/restart", none(), SHARED(400)),
        post("/v1/apps/{app}/containers/{type}/{num}/restart", none(), SHARED(400)),
        post("/v1/hooks/push", none(), BUILDER),
        post("/v1/hooks/config", none(), BUILDER),
        post("/v1/hooks/build", none(), BUILDER),
        post("/v1/hooks/builds", none(), BUILDER),
        // From here on everybody who may is heard.
        delete("/v1/apps/{app}", OWNER(204)),
        delete("/v1/auth/cancel", USERS(204)),
    ]
}

/// The Tutum door. The application has no containers any more, and the container has ended.
fn tutum_table() -> Vec<Row> {
    let none = || json!({});
    let number = || json!({ "target_num_containers": "many" });
    vec![
        get("/api/v1/openapi.json", ANYBODY(200)),
        get("/api/v1/auth/", ANYBODY(401)),
        post("/api/v1/register/", none(), ANYBODY(400)),
        get("/api/v1/application/", USERS(200)),
        post("/api/v1/application/", none(), USERS(400)),
        get("/api/v1/application/{application}/", OWN(200)),
        patch("/api/v1/application/{application}/", number(), OWN(400)),
        post("/api/v1/application/{application}/start/", none(), OWN(400)),
        post("/api/v1/application/{application}/stop/", none(), OWN(400)),
        post("/api/v1/application/{application}/redeploy/", json!({ "tag": 5 }), OWN(400)),
        get("/api/v1/application/{application}/logs/", OWN(200)),
        get("/api/v1/container/", USERS(200)),
        get("/api/v1/container/{container}/", OWN(200)),
        delete("/api/v1/container/{container}/", OWN(400)),
        post("/api/v1/container/{container}/start/", none(), OWN(400)),
        post("/api/v1/container/{container}/stop/", none(), OWN(400)),
        post("/api/v1/container/{container}/redeploy/", none(), OWN(400)),
        get("/api/v1/container/{container}/logs/", OWN(200)),
        get("/api/v1/role/", USERS(200)),
        get("/api/v1/role/{scope}/", USERS(200)),
        get("/api/v1/image/", USERS(200)),
        get("/api/v1/registry/", USERS(200)),
        // Here the owner is heard.
        delete("/api/v1/application/{application}/", OWN(202)),
    ]
}

/// The path for an app that was never deployed to, and for things that do not exist.
fn filled(path: &str, app: &str) -> String {
    let values = [
        ("{app}", app),
        ("{username}", "nobody"),
        ("{id}", "nothing"),
        ("{common_name}", "nothing.example.com"),
        ("{task}", "nothing"),
        ("{uuid}", "00000000-0000-4000-8000-000000000000"),
        ("{version}", "v1"),
        ("{domain}", "nothing.example.com"),
        ("{type}", "web"),
        ("{num}", "7"),
    ];
    let path = values.iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value));
    assert!(!path.contains('{'), "{path}: say what to fill in");
    path
}

/// `credentials` are what follows `Authorization:`, or nothing.
async fn ask(server: &Slipway, credentials: &str, row: &Row, path: &str) -> Answer {
    let request = server.http().request(row.method.clone(), format!("http://{}{path}", server.addresses().api));
    let request = if credentials.is_empty() { request } else { request.header("Authorization", credentials) };
    let request = if row.body.is_null() { request } else { request.json(&row.body) };
    Answer::to(request, format!("{} {path}", row.method)).await.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn every_endpoint_asks_who_is_calling() {
    let options = Options::default().env("SLIPWAY_BUILDER_KEY", "the key of nobody in this test");
    let server = Slipway::start_with(options).await;
    let admin = server.admin().await;
    let person = async |name: &str| User::register(&server, name, KeyKind::Ed25519).await;
    let (owner, friend, stranger) = (person("owner").await, person("friend").await, person("stranger").await);
    let app = owner.create("shared").await;
    let share = async |app: &str| {
        owner.post(&format!("/apps/{app}/perms"), &json!({ "username": "friend" })).await.expect(201);
    };
    share(&app.name).await;

    let table = table();
    let document = owner.get("/openapi.json").await.expect(200).json();
    assert_eq!(listed(&table), described(&document), "a row for each endpoint, and no other");

    let users = [&stranger, &friend, &owner, &admin];
    let tokens: Vec<String> = users.iter().map(|user| format!("token {}", user.token)).collect();
    for row in &table {
        for ((caller, token), expect) in
            CALLERS.iter().zip([""].into_iter().chain(tokens.iter().map(String::as_str))).zip(row.expect)
        {
            let mut name = app.name.clone();
            if row.method == Method::DELETE && row.path == "/v1/apps/{app}" {
                name = owner.create("victim").await.name;
                share(&name).await;
            }
            let answer = ask(&server, token, row, &filled(row.path, &name)).await;
            assert_eq!(answer.status, expect, "{caller}: {} {}: {}", row.method, row.path, answer.text);
            if matches!(expect, 401 | 403) {
                assert!(answer.json()["detail"].is_string(), "{caller}: {}", answer.text);
            }
        }
    }
}

#[tokio::test]
async fn every_endpoint_of_the_tutum_door_asks_who_is_calling() {
    let server = Slipway::start().await;
    let admin = server.admin().await;
    let person = async |name: &str| User::register(&server, name, KeyKind::Ed25519).await;
    let (owner, friend, stranger) = (person("owner").await, person("friend").await, person("stranger").await);
    let mut keys = Vec::new();
    for user in [&stranger, &friend, &owner, &admin] {
        let Tutum { name, key, .. } = Tutum::of(user).await;
        keys.push(format!("ApiKey {name}:{key}"));
    }
    // Nothing listens where the image is said to be, so that nothing ever runs.
    let bob = Tutum::of(&owner).await;
    let application = bob.create(&json!({ "image": "127.0.0.1:1/nothing", "name": "shared" })).await;
    bob.until(uri(&application), "Stopped").await;
    owner.post("/apps/shared/perms", &json!({ "username": "friend" })).await.expect(201);
    let container = bob.containers(&application).await.remove(0);
    bob.delete(uri(&container)).await.expect(202);
    bob.until(uri(&container), "Terminated").await;
    bob.until(uri(&application), "Not running").await;

    let table = tutum_table();
    let document = bob.fetch("/openapi.json").await;
    assert_eq!(listed(&table), described(&document), "a row for each endpoint, and no other");
    for row in &table {
        let uuid = |object: &Value| object["uuid"].as_str().expect("a uuid").to_owned();
        let path = row.path.replace("{application}", &uuid(&application)).replace("{container}", &uuid(&container));
        let path = path.replace("{scope}", "global");
        let callers = [""].into_iter().chain(keys.iter().map(String::as_str));
        for ((caller, key), expect) in CALLERS.iter().zip(callers).zip(row.expect) {
            let answer = ask(&server, key, row, &path).await;
            assert_eq!(answer.status, expect, "{caller}: {} {}: {}", row.method, row.path, answer.text);
            if expect >= 400 {
                let body = answer.json();
                assert!(body["error"].is_string() || body["register"].is_object(), "{caller}: {}", answer.text);
            }
        }
    }
    bob.until(uri(&application), "Terminated").await;
}

fn listed(table: &[Row]) -> BTreeSet<String> {
    let described = |path: &str| path.replace("{application}", "{uuid}").replace("{container}", "{uuid}");
    table.iter().map(|row| format!("{} {}", row.method, described(row.path))).collect()
}

fn described(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().expect("paths");
    let methods = ["get", "post", "put", "patch", "delete"];
    let entries = paths.iter().flat_map(|(path, item)| {
        let there = methods.iter().filter(|method| item.get(**method).is_some());
        there.map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    entries.collect()
}

#[tokio::test]
async fn git_asks_who_is_calling_too() {
    let server = Slipway::start().await;
    let admin = server.admin().await;
    let person = async |name: &str| User::register(&server, name, KeyKind::Ed25519).await;
    let (owner, friend, stranger) = (person("owner").await, person("friend").await, person("stranger").await);
    let (app, repo) = (owner.create("web").await, Repo::of("docker-web"));
    let remote = app.remote();
    for args in [["ls-remote", &remote, "main"], ["push", &remote, "HEAD:main"]] {
        stranger.git(&repo, &args).await.failed().says(&["does not exist"]);
        friend.git(&repo, &args).await.failed().says(&["does not exist"]);
    }
    owner.post(&app.path("/perms"), &json!({ "username": "friend" })).await.expect(201);
    friend.git(&repo, &["push", &remote, "HEAD:main"]).await.succeeded().says(&[":v2 deployed to Slipway"]);
    assert_eq!(app.get("/releases/v2").await["owner"], "friend");
    for user in [&friend, &owner, &admin] {
        user.git(&repo, &["ls-remote", &remote, "main"]).await.succeeded();
    }
    for (number, user) in (3..).zip([&owner, &admin]) {
        repo.commit_file("turn", &number.to_string());
        let said = format!(":v{number} deployed to Slipway");
        user.git(&repo, &["push", &remote, "HEAD:main"]).await.succeeded().says(&[&said]);
    }
    owner.delete(&app.path("/perms/friend")).await.expect(204);
    repo.commit_file("turn", "5");
    friend.git(&repo, &["push", &remote, "HEAD:main"]).await.failed().says(&["does not exist"]);
    assert_eq!(app.versions().await, [4, 3, 2, 1]);
}
