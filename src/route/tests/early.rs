//! Apps that answer a request before they have read its body, in every way of ending the connection.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::support::{Answer, Running, TestServer, full, read_head, soon};
use crate::route::app::Settings;

/// More than any buffer on the way takes.
const UPLOAD: usize = 8 << 20;
const ROUNDS: usize = 30;

/// What an app does once it has read the head of a request.
#[derive(Debug, Clone, Copy)]
enum Ending {
    /// Answers and closes at once, the upload unread.
    Closes,
    /// Answers, and closes when all buffers are full.
    ClosesLater,
    /// Answers and resets the connection.
    Resets,
    /// Answers, says no more and reads no more.
    Stays,
    /// Reads a part of the upload, then answers and closes.
    ReadsSome,
}

const ENDINGS: [Ending; 5] = [Ending::Closes, Ending::ClosesLater, Ending::Resets, Ending::Stays, Ending::ReadsSome];

async fn app(ending: Ending, answer: &'static str) -> TestServer {
    TestServer::raw(move |mut stream| async move {
        read_head(&mut stream).await;
        if let Ending::ReadsSome = ending {
            let mut part = vec![0; 300_000];
            drop(stream.read_exact(&mut part).await);
        }
        stream.write_all(answer.as_bytes()).await.expect("the router reads");
        match ending {
            Ending::Closes | Ending::ReadsSome => {}
            Ending::ClosesLater => tokio::time::sleep(Duration::from_millis(30)).await,
            Ending::Resets => {
                tokio::time::sleep(Duration::from_millis(5)).await;
                stream.set_zero_linger().expect("a socket option");
            }
            Ending::Stays => std::future::pending().await,
        }
    })
    .await
}

fn upload(host: &str) -> Request<Full<Bytes>> {
    Request::post(format!("http://{host}/")).header("host", host).body(full(vec![0; UPLOAD])).expect("a request")
}

const TOO_LARGE: &str = "HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nno\n";

#[tokio::test]
async fn an_answer_before_the_upload_arrives_each_time_over_http_1() {
    for ending in ENDINGS {
        let router = Running::start().await;
        let server = app(ending, TOO_LARGE).await;
        router.publish("hasty", &[server.address]);
        for round in 0..ROUNDS {
            let mut client = router.client().await;
            let answer = Answer::of(client.send(upload("hasty.example.test")).await).await;
            assert_eq!((answer.status.as_u16(), answer.body.as_str()), (413, "no\n"), "{ending:?}, round {round}");
        }
    }
}

#[tokio::test]
async fn an_answer_before_the_upload_arrives_each_time_over_http_2() {
    for ending in ENDINGS {
        let router = Running::start().await;
        let server = app(ending, TOO_LARGE).await;
        router.publish("hasty", &[server.address]);
        let stream = TcpStream::connect(router.address).await.expect("the router accepts");
        let (mut client, driver) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("a connection");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(driver.await) });
        for round in 0..ROUNDS {
            let mut request = upload("hasty.example.test");
            request.headers_mut().remove("host");
            let response = soon("an answer", client.send_request(request)).await.expect("an answer");
            let answer = Answer::of(response).await;
            assert_eq!((answer.status.as_u16(), answer.body.as_str()), (413, "no\n"), "{ending:?}, round {round}");
        }
    }
}

/// A login that is asked for and a way elsewhere are answers as well, with bodies of any framing.
#[tokio::test]
async fn an_answer_before_the_upload_may_be_any() {
    for (answer, status, body) in [
        ("HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic\r\ncontent-length: 2\r\n\r\nno", 401, "no"),
        (
            "HTTP/1.1 307 Elsewhere\r\nlocation: /login\r\ntransfer-encoding: chunked\r\n\r\n2\r\ngo\r\n0\r\n\r\n",
            307,
            "go",
        ),
        ("HTTP/1.1 503 Busy\r\nconnection: close\r\n\r\nlater", 503, "later"),
        ("HTTP/1.1 204 Nothing\r\n\r\n", 204, ""),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", 403, ""),
    ] {
        let router = Running::start().await;
        // A reset cuts off a body that has no other end.
        for ending in [Ending::ClosesLater, Ending::Stays] {
            if matches!(ending, Ending::Stays) && status == 503 {
                continue;
            }
            let server = app(ending, answer).await;
            router.publish("hasty", &[server.address]);
            for round in 0..5 {
                let mut client = router.client().await;
                let response = client.send(upload("hasty.example.test")).await;
                let found = response.status().as_u16();
                assert_eq!(found, status, "{answer:?}, {ending:?}, round {round}");
                let read = soon("the body", response.into_body().collect()).await;
                if status != 503 {
                    assert_eq!(read.expect("whole").to_bytes(), body, "{answer:?}, {ending:?}, round {round}");
                }
            }
        }
    }
}

/// Without an answer the reset is told as what it is.
#[tokio::test]
async fn a_reset_without_an_answer_is_a_broken_upstream() {
    let router = Running::start().await;
    let server = TestServer::raw(|mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    router.publish("broken", &[server.address]);
    for _ in 0..5 {
        let mut client = router.client().await;
        let answer = Answer::of(client.send(upload("broken.example.test")).await).await;
        assert_eq!(answer.refusal(), (502, "upstream-broken"));
    }
}

/// Many programs read nothing before they have sent all: they have to get rid of it to see why nobody wants it.
#[tokio::test]
async fn a_client_that_sends_all_before_it_reads_gets_the_answer() {
    let router = Running::start().await;
    let server = app(Ending::Closes, TOO_LARGE).await;
    router.publish("hasty", &[server.address]);
    router.set("small", Settings { max_body_bytes: 1000, ..Settings::default() });
    let reads = TestServer::http(|request: Request<Incoming>| async move {
        drop(request.into_body().collect().await);
        Response::builder().status(StatusCode::OK).body(full("read")).expect("a response")
    })
    .await;
    router.publish("small", &[reads.address]);
    for (host, expect) in [("hasty", "no\n"), ("small", "larger")] {
        for framing in [format!("content-length: {UPLOAD}"), "transfer-encoding: chunked".to_owned()] {
            let mut client = TcpStream::connect(router.address).await.expect("the router accepts");
            let head = format!("POST / HTTP/1.1\r\nhost: {host}.example.test\r\n{framing}\r\n\r\n");
            client.write_all(head.as_bytes()).await.expect("the router reads");
            if framing.starts_with('t') {
                client.write_all(format!("{UPLOAD:x}\r\n").as_bytes()).await.expect("the router reads");
            }
            soon("the upload", client.write_all(&vec![0; UPLOAD])).await.expect("nobody resets it");
            let mut answer = Vec::new();
            soon("the answer", client.read_to_end(&mut answer)).await.expect("no reset");
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.starts_with("HTTP/1.1 413") && answer.contains(expect), "{host}, {framing}: {answer:?}");
        }
    }
}

/// A client that asks first is answered without having to send.
#[tokio::test]
async fn a_client_that_asks_before_it_sends_gets_the_answer() {
    let router = Running::start().await;
    let server = app(Ending::Closes, TOO_LARGE).await;
    router.publish("hasty", &[server.address]);
    for _ in 0..5 {
        let mut client = TcpStream::connect(router.address).await.expect("the router accepts");
        let head = format!(
            "POST / HTTP/1.1\r\nhost: hasty.example.test\r\nexpect: 100-continue\r\ncontent-length: {UPLOAD}\r\n\r\n"
        );
        client.write_all(head.as_bytes()).await.expect("the router reads");
        let mut answer = Vec::new();
        soon("the answer", client.read_to_end(&mut answer)).await.expect("no reset");
        let answer = String::from_utf8_lossy(&answer);
        let answer = answer.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&answer);
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer:?}");
    }
}
