//! What each command of the clients `deis` 1.0.2 and 1.5.2 sends and reads (spec §19, §24), request by request.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::{Answer, IMAGE, World};

/// One generation of the client: what it sends as its version.
struct Client<'a> {
    world: &'a World,
    version: &'static str,
    token: String,
}

impl Client<'_> {
    /// The headers that the client sends with every call but register and login.
    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Host", "deis.example.com")
            .header("Content-Type", "application/json")
            .header("X-Deis-Version", self.version)
            .header("Accept-Encoding", "gzip, deflate")
            .header("Accept", "*/*")
            .header("User-Agent", "python-requests/2.4.3")
            .header("Authorization", format!("token {}", self.token));
        let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
        self.world.send(request.body(body).unwrap()).await
    }

    /// `config:set`, `limits:set` and their like: each map as a JSON text.
    async fn config(&self, name: &str, map: Value) -> Answer {
        let body = json!({name: map.to_string()});
        self.call("POST", "/v1/apps/hello/config", Some(body)).await
    }
}

async fn client<'a>(world: &'a World, version: &'static str, user: &str) -> Client<'a> {
    // Forms, without a token and without a version; the e-mail is always sent, maybe empty.
    let form = format!("username={user}&password=open+sesame%21&email=");
    assert_eq!(world.form("/v1/auth/register", &form).await.status, 201);
    let login = world.form("/v1/auth/login/", &format!("username={user}&password=open+sesame%21")).await;
    assert_eq!(login.status, 200);
    Client { world, version, token: login.json()["token"].as_str().unwrap().to_owned() }
}

#[tokio::test]
async fn a_session_of_each_generation() {
    for version in ["1.0", "1"] {
        let world = World::new().await;
        let deis = client(&world, version, "bob").await;

        let create = deis.call("POST", "/v1/apps", Some(json!({"id": "hello"}))).await;
        assert_eq!((create.status, &create.json()["id"]), (201, &json!("hello")), "create wants exactly 201");
        assert_eq!(create.header("X_DEIS_API_VERSION"), "1.2", "1.5.2 warns about any other");

        let apps = deis.call("GET", "/v1/apps", None).await;
        assert_eq!(apps.json()["results"][0]["id"], "hello");

        let logs = deis.call("GET", "/v1/apps/hello/logs", None).await;
        assert_eq!(logs.status, 200, "204 of a new app would be printed as an error");
        assert!(logs.json().as_str().unwrap().ends_with('\n'), "what follows the last newline is dropped");

        let pull = deis.call("POST", "/v1/apps/hello/builds", Some(json!({"image": IMAGE}))).await;
        assert_eq!((pull.status, pull.header("x-deis-release")), (201, "2"), "it crashes without the header");
        let builds = deis.call("GET", "/v1/apps/hello/builds", None).await.json();
        assert!(builds["results"][0]["uuid"].is_string() && builds["results"][0]["created"].is_string());

        let info = deis.call("GET", "/v1/apps/hello", None).await;
        assert_eq!((info.status, &info.json()["url"]), (200, &json!("hello.example.com")));

        let scale = deis.call("POST", "/v1/apps/hello/scale", Some(json!({"cmd": 2}))).await;
        scale.is_empty(204);
        let containers = deis.call("GET", "/v1/apps/hello/containers", None).await.json();
        let ps: Vec<String> = containers["results"].as_array().unwrap().iter().map(ps_line).collect();
        assert_eq!(ps, ["cmd.1 up (v2)", "cmd.2 up (v2)"]);

        let set = deis.config("values", json!({"A": "1", "N": 10, "U": "世界", "S": "with spaces"})).await;
        assert_eq!((set.status, set.header("x-deis-release")), (201, "3"));
        assert_eq!(set.json()["values"], json!({"A": "1", "N": 10, "U": "世界", "S": "with spaces"}));
        let unset = deis.config("values", json!({"A": null, "U": null})).await;
        assert_eq!(unset.json()["values"], json!({"N": 10, "S": "with spaces"}));
        let limits = deis.config("memory", json!({"web": "64M"})).await;
        assert_eq!((limits.status, limits.header("x-deis-release")), (201, "5"));
        let limits = deis.config("cpu", json!({"web": "512"})).await;
        let limits = limits.json();
        for map in ["values", "memory", "cpu", "tags"] {
            assert!(limits[map].is_object(), "{map} as anything else is a traceback");
        }

        let releases = deis.call("GET", "/v1/apps/hello/releases", None).await.json();
        let newest = &releases["results"][0];
        assert_eq!((&newest["version"], &newest["summary"]), (&json!(6), &json!("bob changed limits for cpu")));
        assert!(newest["created"].as_str().unwrap().ends_with("UTC"), "without a zone it is a traceback");
        assert_eq!(deis.call("GET", "/v1/apps/hello/releases/v2", None).await.status, 200);
        let back = deis.call("POST", "/v1/apps/hello/releases/rollback", Some(json!({"version": 2}))).await;
        back.is(201, json!({"version": 7}));
        // `deis rollback` without a version sends a body without fields.
        deis.call("POST", "/v1/apps/hello/releases/rollback", Some(json!({}))).await.is(201, json!({"version": 8}));

        deis.call("DELETE", "/v1/apps/hello", None).await.is_empty(204);
        // 1.0.2 takes this for success, 1.5.2 for an error.
        deis.call("DELETE", "/v1/apps/hello", None).await.is_detail(404, "Not found");
    }
}

/// How `deis ps` prints a container.
fn ps_line(container: &Value) -> String {
    let text = |name: &str| container[name].as_str().unwrap().to_owned();
    format!("{}.{} {} ({})", text("type"), container["num"], text("state"), text("release"))
}

#[tokio::test]
async fn create_without_a_name_sends_no_fields() {
    let world = World::new().await;
    let deis = client(&world, "1.0", "bob").await;
    assert_eq!(deis.call("POST", "/v1/apps", Some(json!({}))).await.status, 201);
    assert_eq!(deis.call("POST", "/v1/apps", None).await.status, 201);
}

#[tokio::test]
async fn keys_of_the_kinds_that_the_client_lets_through() {
    let world = World::new().await;
    let deis = client(&world, "1", "bob").await;
    // The clients refuse ed25519 and cut the comment off, which becomes the id.
    for (id, public) in [("me@laptop", RSA.to_owned()), ("id_ecdsa", format!("{ECDSA}\n"))] {
        let added = deis.call("POST", "/v1/keys", Some(json!({"id": id, "public": public}))).await;
        assert_eq!(added.status, 201, "{added:?}");
    }
    let list = deis.call("GET", "/v1/keys", None).await.json();
    assert_eq!(list["count"], 2);
    for key in list["results"].as_array().unwrap() {
        assert_eq!(key["owner"], "bob", "keys:list reads the first one's owner");
        assert!(key["public"].as_str().unwrap().len() > 26);
    }
    // The id goes into the path as it is; only what a URL cannot hold is encoded.
    deis.call("DELETE", "/v1/keys/me@laptop", None).await.is_empty(204);
    deis.call("DELETE", "/v1/keys/id_ecdsa", None).await.is_empty(204);
}

#[tokio::test]
async fn a_failed_login_is_400_with_a_body_that_the_client_prints() {
    let world = World::new().await;
    client(&world, "1", "bob").await;
    let answer = world.form("/v1/auth/login/", "username=bob&password=wrong").await;
    answer.is(400, json!({"non_field_errors": ["Unable to log in with provided credentials."]}));
    let taken = world.form("/v1/auth/register", "username=bob&password=x&email=").await;
    taken.is(400, json!({"username": ["This field must be unique."]}));
}

const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHj4PlE3KMNJ3KBDo8APain2phjUhnSFem6KiwfBJmL2INXyoeecl29fSPbmMgBvfw3kGasvUQh/JgxIjOKirO0=";
const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCsN8NqHrOqoKYC/PvS+NPEqFBD1a+68vOBGmkwwJF0kh7g373weOUSndRMy8FaSHdTumkMi9GucX25gRbbOF1BLhgwDxX9Dw6fCEx5JC1tpq46O7/qof+ypCwLjWpSHjosUhQslZebZYnvkr4p6II698lKW5qhcF7ZRB7HLWOR6Gg+94aTdrCxvQN0V/+svBGonfoBiv8FvPXzUPtvB+kj2x8ZQUDrDgshGqRoBtMmCwQzvH2xjW3EZAHR9dX/HW4jvZtHNbEU0zPXS33h2ZscIZBTqaAe7j0rmLWZVN/ufHoukZdhMR7wUI39LZZf4WK8Xji4oiyECzgnE85p4vOZ";
