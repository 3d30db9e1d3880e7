//! Requests that no proper client sends.

use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt;

use super::support::{Running, TestServer, full, read_head};

/// A router with one app, `a`, that records every request head it gets.
async fn recording() -> (Running, TestServer, Arc<Mutex<Vec<String>>>) {
    let router = Running::start().await;
    let heads = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&heads);
    let server = TestServer::raw(move |mut stream| {
        let record = Arc::clone(&record);
        async move {
            loop {
                let head = read_head(&mut stream).await;
                if head.is_empty() {
                    return;
                }
                record.lock().expect("no panic").push(head);
                drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await);
            }
        }
    })
    .await;
    router.publish("a", &[server.address]);
    (router, server, heads)
}

#[tokio::test]
async fn a_request_that_cannot_be_routed_gets_400_and_reaches_no_app() {
    let (router, _server, heads) = recording().await;
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example.test\r\nHost: a.example.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example.test, b.example.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example.test/x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: u@a.example.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example.test:port\r\n\r\n",
        "GET http://a.example.test/ HTTP/1.1\r\n\r\n",
        "CONNECT a.example.test:443 HTTP/1.1\r\nHost: a.example.test\r\n\r\n",
    ] {
        let answer = router.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{request:?}: {answer}");
        assert!(answer.contains("x-slipway-error: bad-request\r\n"), "{request:?}: {answer}");
        assert!(answer.contains("connection: close\r\n"), "{request:?}: {answer}");
    }
    assert_eq!(heads.lock().expect("no panic").len(), 0);
}

#[tokio::test]
async fn a_malformed_message_is_refused_before_it_is_routed() {
    let (router, _server, heads) = recording().await;
    let long = format!("GET / HTTP/1.1\r\nHost: a.example.test\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    for (request, status) in [
        ("NONSENSE\r\n\r\n", "HTTP/1.1 400 "),
        ("GET / HTTP/1.1\r\nHost : a.example.test\r\n\r\n", "HTTP/1.1 400 "),
        ("GET / HTTP/1.1\r\nHost: a.example.test\r\nX: 1\r\n  folded\r\n\r\n", "HTTP/1.1 400 "),
        (
            "POST / HTTP/1.1\r\nHost: a.example.test\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            "HTTP/1.1 400 ",
        ),
        ("POST / HTTP/1.1\r\nHost: a.example.test\r\nContent-Length: +3\r\n\r\nabc", "HTTP/1.1 400 "),
        ("POST / HTTP/1.1\r\nHost: a.example.test\r\nContent-Length: 3, 3\r\n\r\nabc", "HTTP/1.1 400 "),
        ("POST / HTTP/1.1\r\nHost: a.example.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400 "),
        ("POST / HTTP/1.0\r\nHost: a.example.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400 "),
        (
            "POST / HTTP/1.1\r\nHost: a.example.test\r\nContent-Length: 99999999999999999999999\r\n\r\nabc",
            "HTTP/1.1 400 ",
        ),
        ("POST / HTTP/1.1\r\nHost: a.example.test\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400 "),
        ("POST / HTTP/1.1\r\nHost: a.example.test\r\nContent-Length: 0x3\r\n\r\nabc", "HTTP/1.1 400 "),
        ("POST / HTTP/1.1\r\nHost: a.example.test\r\nContent-Length:\r\n\r\nabc", "HTTP/1.1 400 "),
        ("POST / HTTP/1.1\r\nHost: a.example.test\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400 "),
        (
            "POST / HTTP/1.1\r\nHost: a.example.test\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 400 ",
        ),
        ("POST / HTTP/1.1\r\nHost: a.example.test\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", "HTTP/1.1 400 "),
        (
            "POST / HTTP/1.1\r\nHost: a.example.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            "HTTP/1.1 400 ",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a.example.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 400 ",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a.example.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            "HTTP/1.1 400 ",
        ),
        ("POST / HTTP/1.1\r\nHost: a.example.test\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400 "),
        ("POST / HTTP/1.1\r\nHost: a.example.test\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", "HTTP/1.1 400 "),
        ("POST / HTTP/1.1\r\nHost: a.example.test\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400 "),
        ("GET / HTTP/1.1\r\n Host: a.example.test\r\n\r\n", "HTTP/1.1 400 "),
        ("GET / HTTP/1.1\r\nHost: a.example.test\r\n: empty\r\n\r\n", "HTTP/1.1 400 "),
        ("GET / HTTP/1.1\r\nHost: a.example.test\r\nX\r\n\r\n", "HTTP/1.1 400 "),
        ("GET / HTTP/1.1\r\nHost: a.example.test\r\nX: a\0b\r\n\r\n", "HTTP/1.1 400 "),
        ("GET / HTTP/1.1\r\nHost: a.example.test\r\nX: a\rInjected: b\r\n\r\n", "HTTP/1.1 400 "),
        ("GET / HTTP/1.1\r\nHost: a.example.test\r\nX\u{e9}: a\r\n\r\n", "HTTP/1.1 400 "),
        ("GET /a b HTTP/1.1\r\nHost: a.example.test\r\n\r\n", "HTTP/1.1 400 "),
        ("GET /a\x01b HTTP/1.1\r\nHost: a.example.test\r\n\r\n", "HTTP/1.1 400 "),
        ("GET  / HTTP/1.1\r\nHost: a.example.test\r\n\r\n", "HTTP/1.1 400 "),
        ("GET relative HTTP/1.1\r\nHost: a.example.test\r\n\r\n", "HTTP/1.1 400 "),
        ("G\tET / HTTP/1.1\r\nHost: a.example.test\r\n\r\n", "HTTP/1.1 400 "),
        ("GET / HTTP/1.2\r\nHost: a.example.test\r\n\r\n", "HTTP/1.1 400 "),
        ("GET / HTTP/9.1\r\nHost: a.example.test\r\n\r\n", "HTTP/1.1 400 "),
        ("GET /\r\n\r\n", "HTTP/1.1 400 "),
        (&long, "HTTP/1.1 431 "),
    ] {
        let answer = router.raw(request.as_bytes()).await;
        let shown = &request[..request.len().min(120)];
        assert!(answer.starts_with(status), "{shown:?}: {answer}");
    }
    assert_eq!(heads.lock().expect("no panic").len(), 0);
}

/// A head may have a thousand lines, either way, and no more.
#[tokio::test]
async fn a_head_of_many_lines_passes_up_to_the_bound() {
    let (router, _server, heads) = recording().await;
    let lines = |count: usize| (0..count).map(|number| format!("X-{number}: {number}\r\n")).collect::<String>();
    let request =
        |count| format!("GET / HTTP/1.1\r\nHost: a.example.test\r\nConnection: close\r\n{}\r\n", lines(count));
    for count in [101, 200, 998] {
        let answer = router.raw(request(count).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{count}: {answer}");
        let head = heads.lock().expect("no panic").pop().expect("it reached the app").to_ascii_lowercase();
        let last = count - 1;
        assert!(head.contains(&format!("\r\nx-{last}: {last}\r\n")), "{count}: {head}");
    }
    let answer = router.raw(request(999).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert_eq!(heads.lock().expect("no panic").len(), 0);

    for (count, status) in [(101, 200), (999, 200), (1000, 502)] {
        let talker = TestServer::raw(move |mut stream| async move {
            read_head(&mut stream).await;
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{}\r\n", lines(count));
            drop(stream.write_all(answer.as_bytes()).await);
        })
        .await;
        router.publish("talker", &[talker.address]);
        let answer = router.raw(b"GET / HTTP/1.1\r\nHost: talker.example.test\r\nConnection: close\r\n\r\n").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{count}: {answer}");
        assert_eq!(answer.contains("\r\nx-100: 100\r\n"), status == 200, "{count}: {answer}");
    }
}

/// Two lengths in one message are how one request is hidden in another: the app must see one, and only one message.
#[tokio::test]
async fn a_message_with_two_lengths_reaches_the_app_with_one() {
    for order in
        ["Content-Length: {}\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: {}"]
    {
        two_lengths(order).await;
    }
}

async fn two_lengths(order: &str) {
    let (router, _server, heads) = recording().await;
    let smuggled = "GET /hidden HTTP/1.1\r\nHost: a.example.test\r\n\r\n";
    let request = format!(
        "POST /seen HTTP/1.1\r\nHost: a.example.test\r\n{}\r\n\r\n0\r\n\r\n{smuggled}",
        order.replace("{}", &(smuggled.len() + 5).to_string()),
    );
    let answer = router.raw(request.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    let heads = heads.lock().expect("no panic").clone();
    // The second "head" is the empty body, which the recording upstream does not know as such.
    assert!(heads.len() <= 2 && heads.iter().skip(1).all(|rest| rest == "0\r\n\r\n"), "{heads:?}");
    let head = heads[0].to_ascii_lowercase();
    assert!(head.starts_with("post /seen ") && head.contains("transfer-encoding: chunked\r\n"), "{head}");
    assert!(!head.contains("content-length"), "{head}");
}

/// An upload whose chunks are no chunks is broken: the app never sees it whole, and no byte of it is taken for a request.
#[tokio::test]
async fn bad_chunks_end_the_request_and_the_connection() {
    let router = Running::start().await;
    let whole = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&whole);
    let server = TestServer::http(move |request: http::Request<hyper::body::Incoming>| {
        let counter = Arc::clone(&counter);
        async move {
            if http_body_util::BodyExt::collect(request.into_body()).await.is_ok() {
                *counter.lock().expect("no panic") += 1;
            }
            http::Response::new(full("ok"))
        }
    })
    .await;
    router.publish("a", &[server.address]);
    let next = "GET /next HTTP/1.1\r\nHost: a.example.test\r\n\r\n";
    for body in [
        "zz\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhelloworld\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
    ] {
        let head = "POST / HTTP/1.1\r\nHost: a.example.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = router.raw(format!("{head}{body}{next}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{body:?}: {answer}");
        assert!(answer.contains("x-slipway-error: bad-request\r\n"), "{body:?}: {answer}");
    }
    assert_eq!(*whole.lock().expect("no panic"), 0);
}

#[tokio::test]
async fn equal_lengths_are_folded_into_one() {
    let (router, _server, heads) = recording().await;
    let request = "POST / HTTP/1.1\r\nHost: a.example.test\r\nContent-Length: 3\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
    let answer = router.raw(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let heads = heads.lock().expect("no panic").clone();
    assert_eq!(heads[0].to_ascii_lowercase().matches("content-length: 3\r\n").count(), 1, "{heads:?}");
}
