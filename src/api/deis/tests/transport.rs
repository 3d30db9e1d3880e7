//! What holds on every path: methods, versions, headers, reason phrases, bodies, pages.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::World;

#[tokio::test]
async fn a_wrong_method_is_405_for_those_who_may_know() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    for (method, path, allow) in [
        ("PUT", "/v1/apps", "GET, POST, HEAD, OPTIONS"),
        ("PATCH", "/v1/apps/hello", "GET, POST, DELETE, HEAD, OPTIONS"),
        ("GET", "/v1/apps/hello/scale", "POST, OPTIONS"),
        ("DELETE", "/v1/apps/hello/logs", "GET, HEAD, OPTIONS"),
        ("GET", "/v1/apps/hello/releases/rollback", "POST, OPTIONS"),
        ("POST", "/v1/keys/a/b", "GET, DELETE, HEAD, OPTIONS"),
    ] {
        let answer = world.ask(&token, method, path, "").await;
        answer.is_detail(405, &format!("Method '{method}' not allowed."));
        assert_eq!(answer.header("Allow"), allow, "{path}");
        let anonymous = world.ask("", method, path, "").await;
        anonymous.is_detail(401, "Authentication credentials were not provided.");
        assert_eq!(anonymous.header("Allow"), allow, "{path}");
    }
    world.ask("", "GET", "/v1/auth/login", "").await.is_detail(405, "Method 'GET' not allowed.");
}

#[tokio::test]
async fn head_and_options_are_answered() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    world.ask(&token, "HEAD", "/v1/apps/hello", "").await.is_empty(200);
    let options = world.ask(&token, "OPTIONS", "/v1/apps", "").await;
    assert_eq!((options.status, &options.json()["renders"]), (200, &json!(["application/json"])));
    let preflight = Request::options("/v1/apps").header("Access-Control-Request-Method", "POST");
    let answer = world.send(preflight.body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status, answer.header("Access-Control-Allow-Methods")), (200, "GET, POST, HEAD, OPTIONS"));
    assert!(answer.header("Access-Control-Allow-Headers").contains("authorization"));
}

#[tokio::test]
async fn every_answer_carries_the_versions() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    for (token, method, path) in [
        (token.as_str(), "GET", "/v1/apps"),
        (&token, "GET", "/v1/apps/none"),
        (&token, "PUT", "/v1/apps"),
        (&token, "GET", "/v1/nonsense"),
        (&token, "DELETE", "/v1/apps/hello"),
        ("", "GET", "/v1/apps"),
    ] {
        let answer = world.ask(token, method, path, "").await;
        let headers = ["X_DEIS_API_VERSION", "X_DEIS_PLATFORM_VERSION", "Access-Control-Allow-Origin"];
        assert_eq!(headers.map(|name| answer.header(name)), ["1.2", "1.5.2", "*"], "{method} {path}");
        assert_eq!(answer.header("X-Request-Id").len(), 36);
    }
}

#[tokio::test]
async fn a_client_of_another_version_is_told_before_anything_else() {
    let world = World::new().await;
    let request = Request::get("/v1/apps").header("X-Deis-Version", "99").body(Body::empty()).unwrap();
    let answer = world.send(request).await;
    let text = "Client and server versions do not match. Client version: 99 Server version: 1";
    answer.is(405, json!({"error": text}));
    assert_eq!(answer.header("Allow"), "GET, POST, HEAD, OPTIONS");
    assert_eq!(answer.header("X_DEIS_API_VERSION"), "1.2");
}

#[tokio::test]
async fn unknown_paths_are_json_and_known_ones_are_anchored() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    for path in ["/v1/nonsense", "/v1", "/v1/", "/v1/apps/hello/junk", "/v1/appsx", "/v2/apps", "/", "/v1/apps//hello"]
    {
        world.get(&token, path).await.is_detail(404, "Not found");
        world.ask("", "POST", path, "x").await.is_detail(404, "Not found");
    }
}

#[tokio::test]
async fn a_trailing_slash_works_everywhere_without_a_redirect() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    for path in ["/v1/apps", "/v1/apps/hello", "/v1/apps/hello/config", "/v1/apps/hello/releases/v1", "/v1/keys"] {
        let plain = world.get(&token, path).await;
        world.get(&token, &format!("{path}/")).await.is(200, plain.json());
    }
    let set = world.post(&token, "/v1/apps/hello/config/", json!({"values": {"A": "b"}})).await;
    assert_eq!((set.status, &set.json()["values"]), (201, &json!({"A": "b"})));
    world.get("", "/healthz/").await.is(200, json!({"status": "ok"}));
}

#[tokio::test]
async fn bodies_that_cannot_be_read() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    let ask = async |content_type: &str, body: Vec<u8>| {
        let request = Request::post("/v1/apps/hello/config").header("Content-Type", content_type);
        let request = request.header("Authorization", format!("Token {token}"));
        world.send(request.body(Body::from(body)).unwrap()).await
    };
    ask("text/plain", b"A=b".to_vec()).await.is_detail(415, "Unsupported media type 'text/plain' in request.");
    for broken in ["{", "[1]", "\"x\"", "\u{1}"] {
        let answer = ask("application/json", broken.into()).await;
        assert_eq!(answer.status, 400);
        assert!(answer.json()["detail"].as_str().unwrap().starts_with("JSON parse error - "), "{answer:?}");
    }
    let fits = format!("{{\"values\": {{}}, \"x\": \"{}\"}}", "x".repeat((1 << 20) - 23));
    assert_eq!(fits.len(), 1 << 20);
    assert_eq!(ask("application/json", fits.clone().into()).await.status, 201);
    let more = ask("application/json", (fits + " ").into()).await;
    more.is_detail(413, "The request body has more than 1048576 bytes.");
}

#[tokio::test]
async fn long_lists_come_in_pages() {
    let world = World::new().await;
    let token = world.user("bob").await;
    for n in 0..101 {
        assert_eq!(world.post(&token, "/v1/apps", json!({"id": format!("app-{n}")})).await.status, 201);
    }
    let first = world.get(&token, "/v1/apps?limit=5").await.json();
    assert_eq!((&first["count"], first["results"].as_array().unwrap().len()), (&json!(101), 100));
    assert_eq!(first["next"], "http://deis.example.com/v1/apps?limit=5&page=2");
    let second = world.get(&token, "/v1/apps?page=2").await.json();
    assert_eq!(second["results"][0]["id"], "app-100");
    assert_eq!(second["previous"], "http://deis.example.com/v1/apps?page=1");
    world.get(&token, "/v1/apps?page=last").await.is(200, second);
    world.get(&token, "/v1/apps?page=3").await.is_detail(404, "Not found");
    world.get(&token, "/v1/apps?page=x").await.is_detail(404, "Not found");
}

/// Sends bytes to a real listener and yields the status line.
async fn status_line(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

/// The clients print it, and the original's own tests search for it.
#[tokio::test]
async fn reason_phrases_are_upper_case_on_the_wire() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, world.router.clone()).with_graceful_shutdown(async { drop(stopped.await) });
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(server.into_future());
    let auth = format!("Authorization: token {token}\r\n");
    for (line, auth, expect) in [
        ("GET /v1/apps", auth.as_str(), "HTTP/1.1 200 OK"),
        ("POST /v1/apps", &auth, "HTTP/1.1 201 CREATED"),
        ("POST /v1/auth/login/", "", "HTTP/1.1 400 BAD REQUEST"),
        ("GET /v1/apps", "", "HTTP/1.1 401 UNAUTHORIZED"),
        ("GET /v1/apps/none", &auth, "HTTP/1.1 404 NOT FOUND"),
        ("GET /v1/nonsense", "", "HTTP/1.1 404 NOT FOUND"),
        ("PUT /v1/apps", &auth, "HTTP/1.1 405 METHOD NOT ALLOWED"),
        ("DELETE /v1/apps/hello", &auth, "HTTP/1.1 204 NO CONTENT"),
    ] {
        let request = format!("{line} HTTP/1.1\r\nHost: x\r\n{auth}Content-Length: 0\r\nConnection: close\r\n\r\n");
        assert_eq!(status_line(address, &request).await, expect, "{line}");
    }
    drop(stop);
    tasks.join_all().await;
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused_in_the_doors_words() {
    let world = World::new().await;
    let token = world.user("bob").await;
    let long = world.get(&token, &format!("/v1/apps/{}", "a".repeat(8 << 10))).await;
    long.is_detail(414, "The request target has more than 8192 bytes.");
    assert_eq!(long.header("X_DEIS_API_VERSION"), "1.2");
    let request = Request::get("/v1/apps").header("X-Junk", "x".repeat(16 << 10)).body(Body::empty()).unwrap();
    world.send(request).await.is_detail(431, "The request headers have more than 16384 bytes.");
}
