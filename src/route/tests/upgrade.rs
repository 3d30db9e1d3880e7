//! Websockets and other upgrades.

use futures_util::{SinkExt, StreamExt};
use http::Request;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use super::support::{Running, TestServer, full, name, read_head, soon, until};

/// A websocket server that sends back what it gets.
async fn echo() -> TestServer {
    TestServer::raw(|stream| async move {
        let mut socket = accept_async(stream).await.expect("a websocket handshake");
        while let Some(Ok(message)) = socket.next().await {
            if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                return;
            }
        }
    })
    .await
}

async fn open(router: &Running, app: &str) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(router.address).await.expect("the router accepts");
    let url = format!("ws://{app}.example.test/socket");
    soon("the handshake", client_async(url, stream)).await.expect("a websocket").0
}

async fn says(socket: &mut WebSocketStream<TcpStream>, text: &str) {
    socket.send(Message::text(text)).await.expect("an open socket");
    let echoed = soon("an echo", socket.next()).await.expect("an open socket").expect("a message");
    assert_eq!(echoed.into_text().expect("text").as_str(), text);
}

async fn ends(socket: &mut WebSocketStream<TcpStream>) {
    soon("the socket ends", async { while let Some(Ok(_)) = socket.next().await {} }).await;
}

#[tokio::test]
async fn a_websocket_is_counted_apart_and_ended_by_a_cut() {
    let router = Running::start().await;
    let server = echo().await;
    let instance = router.publish("chat", &[server.address])[0];
    let mut socket = open(&router, "chat").await;
    says(&mut socket, "hello").await;
    says(&mut socket, &"x".repeat(300_000)).await;
    let upstream = router.table.retire(&name("chat"), instance).expect("it was listed");
    assert_eq!((upstream.in_flight(), upstream.upgraded()), (0, 1));
    soon("requests are drained", upstream.drained()).await;
    says(&mut socket, "still open").await;
    upstream.cut();
    ends(&mut socket).await;
    until("the count falls", || upstream.upgraded() == 0).await;
}

#[tokio::test]
async fn a_websocket_ends_with_either_side() {
    let router = Running::start().await;
    let server = echo().await;
    let instance = router.publish("chat", &[server.address])[0];
    let mut leaving = open(&router, "chat").await;
    says(&mut leaving, "bye").await;
    let mut left = open(&router, "chat").await;
    says(&mut left, "hello").await;
    let upstream = router.table.retire(&name("chat"), instance).expect("it was listed");
    assert_eq!(upstream.upgraded(), 2);
    drop(leaving);
    until("one is gone", || upstream.upgraded() == 1).await;
    drop(server);
    ends(&mut left).await;
    until("both are gone", || upstream.upgraded() == 0).await;
}

#[tokio::test]
async fn a_stop_ends_websockets() {
    let mut router = Running::start().await;
    let server = echo().await;
    router.publish("chat", &[server.address]);
    let mut socket = open(&router, "chat").await;
    says(&mut socket, "hello").await;
    router.stop.cancel();
    ends(&mut socket).await;
    soon("serve returns", &mut router.served).await.expect("no panic");
}

#[tokio::test]
async fn any_protocol_may_be_changed_to() {
    let router = Running::start().await;
    let server = TestServer::raw(|mut stream| async move {
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        assert!(head.contains("upgrade: tunnel\r\n") && head.contains("connection: upgrade\r\n"), "{head}");
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tunnel\r\n\r\nfirst ";
        stream.write_all(answer).await.expect("the router reads");
        let mut bytes = [0u8; 4];
        stream.read_exact(&mut bytes).await.expect("the client's bytes");
        stream.write_all(&bytes).await.expect("the router reads");
    })
    .await;
    router.publish("raw", &[server.address]);
    let request = b"GET / HTTP/1.1\r\nHost: raw.example.test\r\nConnection: Upgrade\r\nUpgrade: tunnel\r\n\r\nping";
    let answer = router.raw(request).await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 101 ") && answer.ends_with("\r\n\r\nfirst ping"), "{answer}");
    assert!(answer.contains("upgrade: tunnel\r\n") && answer.contains("connection: upgrade\r\n"), "{answer}");
}

#[tokio::test]
async fn an_app_may_decline_an_upgrade_and_is_not_offered_h2c() {
    let router = Running::start().await;
    let server = TestServer::http(|request: Request<Incoming>| async move {
        http::Response::new(full(format!("{:?}", request.headers().get("upgrade"))))
    })
    .await;
    let instance = router.publish("plain", &[server.address])[0];
    for (protocol, seen) in [("websocket", "Some(\"websocket\")"), ("h2c", "None")] {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: plain.example.test\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n\
             GET / HTTP/1.1\r\nHost: plain.example.test\r\nConnection: close\r\n\r\n"
        );
        let answer = router.raw(request.as_bytes()).await;
        assert!(answer.contains(seen), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    }
    let upstream = router.table.retire(&name("plain"), instance).expect("it was listed");
    assert_eq!((upstream.in_flight(), upstream.upgraded()), (0, 0));
}

#[tokio::test]
async fn an_upgrade_that_finds_nobody_is_answered_like_any_request() {
    let router = Running::start().await;
    router.publish("gone", &[super::support::closed_port().await]);
    let request =
        b"GET / HTTP/1.1\r\nHost: gone.example.test\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n";
    let answer = router.raw(request).await;
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("x-slipway-error: upstream-refused"), "{answer}");
}
