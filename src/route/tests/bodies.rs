//! Bodies and their framing pass through untouched and unbuffered.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::support::{Answer, Running, TestServer, full, patient, read_head, soon};
use crate::route::BoxError;

type Pieces = mpsc::UnboundedSender<Result<Frame<Bytes>, BoxError>>;

/// A body that yields what is sent into the channel.
fn channel() -> (Pieces, StreamBody<impl futures_util::Stream<Item = Result<Frame<Bytes>, BoxError>> + Send + Unpin>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|frame| (frame, receiver))
    });
    (sender, StreamBody::new(Box::pin(stream)))
}

fn data(text: &str) -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::data(Bytes::copy_from_slice(text.as_bytes())))
}

async fn next(body: &mut Incoming) -> String {
    let frame = soon("a piece", body.frame()).await.expect("a frame").expect("no error");
    String::from_utf8_lossy(&frame.into_data().expect("data")).into_owned()
}

#[tokio::test]
async fn events_arrive_one_by_one_as_the_app_sends_them() {
    let router = Running::start().await;
    let (handed, hands) = mpsc::unbounded_channel();
    let events = TestServer::http(move |_| {
        let (pieces, body) = channel();
        handed.send(pieces).expect("the test listens");
        async { Response::builder().header("content-type", "text/event-stream").body(body).expect("a response") }
    })
    .await;
    router.publish("events", &[events.address]);
    let request = Request::get("/").header("host", "events.example.test").body(Empty::<Bytes>::new());
    let mut client = router.client().await;
    let response = client.send(request.expect("a request")).await;
    let mut hands = hands;
    let pieces = soon("the app's side", hands.recv()).await.expect("a body");
    let mut body = response.into_body();
    for number in 0..5 {
        let event = format!("data: {number}\n\n");
        pieces.send(data(&event)).expect("the router reads");
        assert_eq!(next(&mut body).await, event);
    }
    drop(pieces);
    assert!(soon("the end", body.frame()).await.is_none());
}

#[tokio::test]
async fn an_upload_is_echoed_while_it_is_still_under_way() {
    let router = Running::start().await;
    let echo = TestServer::http(|request: Request<Incoming>| async move { Response::new(request.into_body()) }).await;
    router.publish("echo", &[echo.address]);
    for method in [Method::POST, Method::PUT, Method::GET, Method::DELETE] {
        let (pieces, body) = channel();
        let request = Request::builder()
            .method(method.clone())
            .uri("/")
            .header("host", "echo.example.test")
            .header("transfer-encoding", "chunked")
            .body(body);
        let mut client = router.client().await;
        pieces.send(data("first")).expect("open");
        let mut echoed = client.send(request.expect("a request")).await.into_body();
        assert_eq!(next(&mut echoed).await, "first", "{method}");
        for number in 0..3 {
            let piece = format!("piece {number}");
            pieces.send(data(&piece)).expect("open");
            assert_eq!(next(&mut echoed).await, piece, "{method}");
        }
        drop(pieces);
        assert!(soon("the end", echoed.frame()).await.is_none(), "{method}");
    }
}

#[tokio::test]
async fn megabytes_go_both_ways_unchanged() {
    let router = Running::start().await;
    let echo = TestServer::http(|request: Request<Incoming>| async move { Response::new(request.into_body()) }).await;
    router.publish("echo", &[echo.address]);
    let sent: Vec<u8> = (0..9_000_001u32).map(|index| ((index * 31) >> 3) as u8).collect();
    let request = Request::post("/").header("host", "echo.example.test").body(full(sent.clone())).expect("a request");
    let mut client = router.client().await;
    let body = soon("the echo", client.send(request).await.into_body().collect()).await.expect("whole").to_bytes();
    assert!(body == sent, "{} of {} bytes came back, or others", body.len(), sent.len());
    // The connection is good for another request.
    let request = Request::post("/").header("host", "echo.example.test").body(full("again")).expect("a request");
    assert_eq!(Answer::of(client.send(request).await).await.body, "again");
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let router = Running::start().await;
    let echo = TestServer::http(|request: Request<Incoming>| async move {
        let te = request.headers().get("te").cloned();
        let body = request.into_body().collect().await.expect("whole");
        let trailers = body.trailers().cloned().unwrap_or_default();
        let stream = futures_util::stream::iter([data("x"), Ok(Frame::trailers(trailers))]);
        let mut response = Response::new(StreamBody::new(stream));
        response.headers_mut().insert("trailer", HeaderValue::from_static("x-sum"));
        response.headers_mut().insert("te-seen", te.unwrap_or(HeaderValue::from_static("none")));
        response
    })
    .await;
    router.publish("echo", &[echo.address]);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("42"));
    let stream = futures_util::stream::iter([data("body"), Ok(Frame::trailers(trailers.clone()))]);
    let request = Request::post("/")
        .header("host", "echo.example.test")
        .header("te", "trailers")
        .header("trailer", "x-sum")
        .body(StreamBody::new(stream));
    let mut client = router.client().await;
    let answer = Answer::of(client.send(request.expect("a request")).await).await;
    assert_eq!(answer.header("te-seen"), "trailers");
    assert_eq!(answer.trailers, Some(trailers));
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    let router = Running::start().await;
    let echo = TestServer::http(|request: Request<Incoming>| async move { Response::new(request.into_body()) }).await;
    router.publish("echo", &[echo.address]);
    let mut stream = tokio::net::TcpStream::connect(router.address).await.expect("the router accepts");
    let head = b"POST / HTTP/1.1\r\nHost: echo.example.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\n";
    stream.write_all(head).await.expect("the router reads");
    let interim = soon("100 Continue", read_head(&mut stream)).await;
    assert!(interim.starts_with("HTTP/1.1 100 "), "{interim}");
    stream.write_all(b"body").await.expect("the router reads");
    let mut rest = String::new();
    soon("the answer", stream.read_to_string(&mut rest)).await.expect("text");
    assert!(rest.starts_with("HTTP/1.1 200 ") && rest.ends_with("body"), "{rest}");
}

/// What the client gets of an upstream's exact bytes.
async fn passed(method: &str, answer: &'static str) -> String {
    let router = Running::start().await;
    let server = TestServer::says(answer).await;
    router.publish("exact", &[server.address]);
    let request =
        format!("{method} / HTTP/1.1\r\nHost: exact.example.test\r\nConnection: close\r\nX-Request-Id: r\r\n\r\n");
    router.raw(request.as_bytes()).await
}

#[tokio::test]
async fn framing_is_right_for_every_kind_of_response() {
    let date = "date: Thu, 01 Jan 2026 00:00:00 GMT";
    let check = async |method: &str, answer: &'static str, head: &[&str], body: &str| {
        let passed = passed(method, answer).await;
        let (got_head, got_body) = passed.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}: {passed:?}"));
        let mut got: Vec<&str> = got_head.lines().collect();
        got[1..].sort_unstable();
        let mut expect = [head, &["connection: close", date, "x-request-id: r"][..]].concat();
        expect[1..].sort_unstable();
        assert_eq!((got, got_body), (expect, body), "{method} {answer:?}");
    };
    macro_rules! answer { ($($line:literal),*; $body:literal) => {
        concat!($($line, "\r\n",)* "date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n", $body)
    } }
    let length = answer!("HTTP/1.1 200 OK", "Content-Length: 5"; "hello");
    check("GET", length, &["HTTP/1.1 200 OK", "content-length: 5"], "hello").await;
    let chunked = answer!("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"; "5\r\nhello\r\n0\r\n\r\n");
    let head = ["HTTP/1.1 200 OK", "transfer-encoding: chunked"];
    check("GET", chunked, &head, "5\r\nhello\r\n0\r\n\r\n").await;
    let both = answer!("HTTP/1.1 200 OK", "Content-Length: 1", "Transfer-Encoding: chunked"; "5\r\nhello\r\n0\r\n\r\n");
    check("GET", both, &head, "5\r\nhello\r\n0\r\n\r\n").await;
    let close = answer!("HTTP/1.0 200 OK"; "hello");
    check("GET", close, &head, "5\r\nhello\r\n0\r\n\r\n").await;
    let head_only = answer!("HTTP/1.1 200 OK", "Content-Length: 5"; "");
    check("HEAD", head_only, &["HTTP/1.1 200 OK", "content-length: 5"], "").await;
    let head_unknown = answer!("HTTP/1.1 200 OK"; "");
    check("HEAD", head_unknown, &["HTTP/1.1 200 OK"], "").await;
    let none = answer!("HTTP/1.1 204 No Content"; "");
    check("GET", none, &["HTTP/1.1 204 No Content"], "").await;
    let unmodified = answer!("HTTP/1.1 304 Not Modified", "ETag: x"; "");
    check("GET", unmodified, &["HTTP/1.1 304 Not Modified", "etag: x"], "").await;
    let hinted = answer!("HTTP/1.1 103 Early Hints", "Link: x", "", "HTTP/1.1 200 OK", "Content-Length: 2"; "ok");
    check("GET", hinted, &["HTTP/1.1 200 OK", "content-length: 2"], "ok").await;
}

#[tokio::test]
async fn a_response_that_breaks_off_does_not_look_complete() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let router = Running::start().await;
        let server = TestServer::says(answer).await;
        router.publish("cut", &[server.address]);
        let request = Request::get("/").header("host", "cut.example.test").body(Empty::<Bytes>::new());
        let mut client = router.client().await;
        let response = client.send(request.expect("a request")).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(soon("the end", response.into_body().collect()).await.is_err(), "{answer:?}");
    }
}

#[tokio::test]
async fn an_app_may_answer_before_it_has_read_the_upload() {
    let router = Running::start().await;
    let hasty =
        TestServer::http(|_| async { Response::builder().status(413).body(full("too large")).expect("a response") })
            .await;
    router.publish("hasty", &[hasty.address]);
    let (pieces, body) = channel();
    let request = Request::post("/").header("host", "hasty.example.test").body(body).expect("a request");
    let mut client = router.client().await;
    pieces.send(data("a beginning")).expect("open");
    let answer = Answer::of(client.send(request).await).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (413, "too large"));
    drop(pieces);
    for _ in 0..3 {
        assert_eq!(router.get("hasty.example.test", "/").await.status, 413);
    }
}

#[tokio::test]
async fn silence_in_the_middle_of_a_body_ends_it() {
    let router = Running::start().await;
    let brief = || patient(Duration::from_secs(60), Duration::from_millis(100));
    router.set("stalls", brief());
    router.set("echo", brief());
    let stalls = TestServer::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello").await.expect("the router reads");
        std::future::pending::<()>().await;
    })
    .await;
    let echo = TestServer::http(|request: Request<Incoming>| async move {
        let whole = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        Response::new(full(whole))
    })
    .await;
    router.publish("stalls", &[stalls.address]);
    router.publish("echo", &[echo.address]);
    let request = Request::get("/").header("host", "stalls.example.test").body(Empty::<Bytes>::new());
    let mut client = router.client().await;
    let response = client.send(request.expect("a request")).await;
    assert!(soon("the end", response.into_body().collect()).await.is_err());

    let (pieces, body) = channel();
    let request = Request::post("/").header("host", "echo.example.test").body(body).expect("a request");
    let mut client = router.client().await;
    pieces.send(data("a beginning")).expect("open");
    assert_eq!(Answer::of(client.send(request).await).await.refusal(), (408, "request-timeout"));
}

/// The limit for an answer runs from the end of the request, not from its beginning.
#[tokio::test]
async fn a_long_upload_is_no_slow_app() {
    let router = Running::start().await;
    router.set("counts", patient(Duration::from_millis(300), Duration::from_secs(60)));
    let counts = TestServer::http(|request: Request<Incoming>| async move {
        let body = request.into_body().collect().await.expect("whole").to_bytes();
        Response::new(full(body.len().to_string()))
    })
    .await;
    router.publish("counts", &[counts.address]);
    let ticks = tokio::time::interval(Duration::from_millis(50));
    let stream = futures_util::stream::unfold((ticks, 0), |(mut ticks, sent)| async move {
        ticks.tick().await;
        (sent < 16).then_some((data("x"), (ticks, sent + 1)))
    });
    let body = StreamBody::new(stream.boxed());
    let request = Request::post("/").header("host", "counts.example.test").body(body).expect("a request");
    let mut client = router.client().await;
    assert_eq!(Answer::of(client.send(request).await).await.body, "16");
}
