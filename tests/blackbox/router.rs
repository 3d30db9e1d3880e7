//! What reaches an app through the router, and what comes back.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{SHORT, Slipway, raw_request, wait_until};

#[tokio::test]
async fn hosts_headers_streams_and_sockets_pass_as_they_should() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    let http = server.addresses().http;
    let host = format!("{}.localhost", app.name);

    // Host names: any case, with or without a port; unknown ones are nobody's.
    for host in [host.clone(), host.to_uppercase(), format!("{host}:{}", http.port()), format!("{host}:80")] {
        let (head, body) = raw_request(http, &format!("GET / HTTP/1.1\r\nHost: {host}"), "").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{host}: {head}");
        assert!(body.contains(&app.name), "{host}: {body}");
    }
    for host in ["nobody.localhost", "localhost", "web.example.com"] {
        let (head, _) = raw_request(http, &format!("GET / HTTP/1.1\r\nHost: {host}"), "").await;
        assert!(head.starts_with("HTTP/1.1 404 "), "{host}: {head}");
    }
    let empty = owner.create("empty").await;
    assert_eq!(empty.ask("/").await.status, 503);

    // Request headers.
    let hop = "Connection: keep-alive, x-secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nX-Kept: yes";
    let (_, body) = raw_request(http, &format!("GET /headers HTTP/1.1\r\nHost: {host}\r\n{hop}"), "").await;
    let seen = headers(&body);
    let value =
        |name: &str| seen.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
    assert_eq!((value("host"), value("x-kept")), (Some(host.as_str()), Some("yes")), "{body}");
    assert_eq!((value("x-secret"), value("keep-alive")), (None, None), "hop-by-hop headers stay behind: {body}");
    assert_eq!((value("x-forwarded-for"), value("x-forwarded-proto")), (Some("127.0.0.1"), Some("http")), "{body}");
    let port = http.port().to_string();
    assert_eq!(value("x-forwarded-port"), Some(port.as_str()), "{body}");
    assert!(value("x-request-id").is_some_and(|id| !id.is_empty()), "{body}");

    streams_both_ways(&server, &host).await;
    upgrades(&server, &host).await;
}

fn headers(body: &str) -> Vec<(String, String)> {
    // The body may come in chunks; the list is the only array in it.
    let list = &body[body.find('[').expect("a list")..=body.rfind(']').expect("a list")];
    serde_json::from_str(list).unwrap_or_else(|error| panic!("{error}: {body}"))
}

async fn streams_both_ways(server: &Slipway, host: &str) {
    let http = server.addresses().http;
    // Server-sent events come one by one, 100 ms apart.
    let request = server.http().get(format!("http://{http}/sse")).header("Host", host);
    let response = request.send().await.expect("it answers");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (began, mut events, mut arrivals) = (response.bytes_stream(), String::new(), Vec::new());
    let (mut stream, start) = (began, Instant::now());
    while let Some(chunk) = stream.next().await {
        events.push_str(&String::from_utf8_lossy(&chunk.expect("the stream holds")));
        arrivals.push(start.elapsed());
    }
    assert_eq!(events.matches("data: event").count(), 5, "{events}");
    let spread = *arrivals.last().expect("events came") - arrivals[0];
    assert!(spread > Duration::from_millis(250), "events came all at once: {arrivals:?}");

    // A body larger than any buffer, with and without a length.
    let body = "0123456789abcdef".repeat(256 * 1024);
    let post = || server.http().post(format!("http://{http}/echo")).header("Host", host);
    let echoed = post().body(body.clone()).send().await.expect("it answers").text().await.expect("all of it");
    assert!(echoed == body, "{} bytes came back of {}", echoed.len(), body.len());
    let pieces: Vec<Result<String, std::io::Error>> =
        body.as_bytes().chunks(100_000).map(|piece| Ok(String::from_utf8_lossy(piece).into_owned())).collect();
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let echoed = post().body(stream).send().await.expect("it answers").text().await.expect("all of it");
    assert!(echoed == body, "{} bytes came back of {}", echoed.len(), body.len());
}

async fn upgrades(server: &Slipway, host: &str) {
    let http = server.addresses().http;
    let mut request = format!("ws://{http}/ws").into_client_request().expect("a URL");
    request.headers_mut().insert("Host", host.parse().expect("a header"));
    let stream = tokio::net::TcpStream::connect(http).await.expect("the router listens");
    let (mut socket, answer) = tokio_tungstenite::client_async(request, stream).await.expect("the upgrade passes");
    assert_eq!(answer.status(), 101);
    for text in ["hello", &"long ".repeat(20_000)] {
        socket.send(Message::text(text)).await.expect("it is sent");
        let echo = socket.next().await.expect("an answer").expect("a frame");
        assert_eq!(echo.into_text().expect("text").as_str(), text);
    }
    socket.close(None).await.expect("it closes");
}

#[tokio::test]
async fn the_api_is_also_a_host_of_the_router() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let head = format!("GET /v1/apps HTTP/1.1\r\nHost: slipway.localhost\r\nAuthorization: token {}", owner.token);
    let (head, body) = raw_request(server.addresses().http, &head, "").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let apps: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
    assert_eq!(apps["results"], json!([]));
}

#[tokio::test]
async fn a_client_that_sends_a_byte_a_second_is_given_up() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    let mut stream = TcpStream::connect(server.addresses().http).await.expect("the router listens");
    // The app looks at no body, so that nobody but the router can lose patience.
    let head = format!("GET /slow?ms=100000 HTTP/1.1\r\nHost: {}.localhost\r\nContent-Length: 1000\r\n\r\n", app.name);
    stream.write_all(head.as_bytes()).await.expect("the router takes it");
    let (mut reader, mut writer) = stream.split();
    let mut answer = [0; 1024];
    let trickle = async {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        std::future::pending::<()>().await;
    };
    let length = tokio::select! {
        length = reader.read(&mut answer) => length.expect("the router says why"),
        () = trickle => unreachable!("it never ends"),
        () = tokio::time::sleep(Duration::from_secs(90)) => panic!("the router waits and waits"),
    };
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.to_lowercase().contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn while_the_server_stops_what_is_under_way_ends_and_nothing_new_begins() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    let addresses = server.addresses();
    let mut stream = TcpStream::connect(addresses.http).await.expect("the router listens");
    let head = format!("POST /echo HTTP/1.1\r\nHost: {}.localhost\r\nContent-Length: 10\r\n\r\n", app.name);
    stream.write_all(format!("{head}first").as_bytes()).await.expect("the router takes it");
    read_until(&mut stream, "first").await;
    tokio::join!(server.stop(), async {
        for address in [addresses.http, addresses.https, addresses.api, addresses.ssh] {
            wait_until(&format!("{address} takes no connection"), SHORT, async || {
                match TcpStream::connect(address).await {
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await;
        }
        stream.write_all(b"after").await.expect("the router still takes it");
        read_until(&mut stream, "after").await;
    });
}

/// Reads until the other side has said `text`.
async fn read_until(stream: &mut TcpStream, text: &str) {
    let mut said = String::new();
    while !said.contains(text) {
        let mut piece = [0; 1024];
        let length = tokio::time::timeout(SHORT, stream.read(&mut piece)).await.expect("it says something in time");
        let length = length.expect("the connection holds");
        assert!(length > 0, "it ended after: {said}");
        said.push_str(&String::from_utf8_lossy(&piece[..length]));
    }
}
