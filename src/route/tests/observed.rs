//! What is told of requests once they are over.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

use super::support::{Answer, Running, TestServer, closed_port, full, patient, read_head, soon, until};
use crate::route::app::Settings;

#[tokio::test]
async fn one_entry_for_each_request_with_its_bytes_and_why_it_failed() {
    let router = Running::start().await;
    let echo =
        TestServer::http(|request: Request<Incoming>| async move { http::Response::new(request.into_body()) }).await;
    let cut = TestServer::says("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello").await;
    router.publish("echo", &[echo.address]);
    router.publish("cut", &[cut.address]);
    router.publish("refused", &[closed_port().await]);
    router.table.add_app(&"empty".parse().expect("a name"));
    router.set("quiet", Settings { leaves_lines: false, ..Settings::default() });
    let mut client = router.client().await;
    let request = Request::post("/up?x=1").header("host", "echo.example.test").body(full("12345")).expect("a request");
    assert_eq!(Answer::of(client.send(request).await).await.body, "12345");
    router.get("nobody.example.test", "/").await;
    router.get("slipway.example.test", "/").await;
    let empty = router.get("empty.example.test", "/").await.body.len();
    let refused = router.get("refused.example.test", "/").await.body.len();
    let quiet = router.get("quiet.example.test", "/secret").await.body.len();
    let request = Request::get("/").header("host", "cut.example.test").body(Empty::<Bytes>::new()).expect("a request");
    let mut client = router.client().await;
    drop(soon("the end", client.send(request).await.into_body().collect()).await.expect_err("it breaks off"));
    let told = router.told.requests(6).await;
    let unknown = told[1].clone();
    assert!(unknown.starts_with("- - 404 unknown-host 0 "), "{unknown}");
    assert_eq!(
        told,
        [
            "echo there 200 ok 5 5 http POST /up?x=1".to_owned(),
            unknown,
            format!("empty - 503 no-upstream 0 {empty} http GET /"),
            format!("refused there 502 upstream-refused 0 {refused} http GET /"),
            format!("quiet - 503 no-upstream 0 {quiet} http GET "),
            "cut there 200 response-broken 0 5 http GET /".to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_client_that_goes_away_is_told_of_and_makes_room() {
    let router = Running::start().await;
    router.set("stuck", Settings { max_requests: 1, ..Settings::default() });
    let stuck = TestServer::raw(|mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    router.publish("stuck", &[stuck.address]);
    for _ in 0..2 {
        let mut stream = tokio::net::TcpStream::connect(router.address).await.expect("the router accepts");
        stream.write_all(b"GET /x HTTP/1.1\r\nHost: stuck.example.test\r\n\r\n").await.expect("the router reads");
        soon("the place is taken", async {
            while router.get("stuck.example.test", "/busy").await.refusal() != (503, "app-busy") {}
        })
        .await;
        drop(stream);
        let gone = "stuck there 499 client-gone 0 0 http GET /x";
        soon("it is told", async {
            while !router.told.requests(1).await.iter().any(|told| told == gone) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn an_instance_that_falls_silent_in_its_answer_is_named() {
    let router = Running::start().await;
    router.set("stalls", patient(Duration::from_secs(60), Duration::from_millis(50)));
    let stalls = TestServer::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello").await.expect("the router reads");
        std::future::pending::<()>().await;
    })
    .await;
    router.publish("stalls", &[stalls.address]);
    let request = Request::get("/").header("host", "stalls.example.test").body(Empty::<Bytes>::new());
    let mut client = router.client().await;
    let response = client.send(request.expect("a request")).await;
    drop(soon("the end", response.into_body().collect()).await);
    assert_eq!(router.told.requests(1).await, ["stalls there 200 response-stalled 0 5 http GET /"]);
}

#[tokio::test]
async fn a_websocket_is_told_of_at_its_end() {
    let router = Running::start().await;
    let echo = TestServer::raw(|stream| async move {
        let mut socket = tokio_tungstenite::accept_async(stream).await.expect("a websocket handshake");
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() && socket.send(message).await.is_err() {
                return;
            }
        }
    })
    .await;
    let instance = router.publish("chat", &[echo.address])[0];
    let stream = tokio::net::TcpStream::connect(router.address).await.expect("the router accepts");
    let (mut socket, _) = tokio_tungstenite::client_async("ws://chat.example.test/s", stream).await.expect("it opens");
    socket.send(Message::text("12345")).await.expect("an open socket");
    soon("an echo", socket.next()).await.expect("an open socket").expect("a message");
    let upstream = router.table.retire(&"chat".parse().expect("a name"), instance).expect("it was listed");
    assert_eq!(upstream.upgraded(), 1);
    upstream.cut();
    // A frame has a head of 2 bytes, and of 4 more from a client.
    assert_eq!(router.told.requests(1).await, ["chat there 101 ok 11 7 upgraded http GET /s"]);
    until("the count falls", || upstream.upgraded() == 0).await;
}
