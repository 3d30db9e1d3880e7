//! Requests that are sent a second time, and those that must not be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, Request};
use tokio::io::AsyncWriteExt;

use super::support::{Answer, Running, TestServer, full, read_head};

/// A server whose connections answer `answered` requests and close on the next, having read it; counts what it reads.
async fn closes_after(answered: usize, text: &'static str) -> (TestServer, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let server = TestServer::raw(move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            for number in 0.. {
                if read_head(&mut stream).await.is_empty() {
                    return;
                }
                counter.fetch_add(1, Ordering::SeqCst);
                if number == answered {
                    return;
                }
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
                stream.write_all(answer.as_bytes()).await.expect("the router reads");
            }
        }
    })
    .await;
    (server, seen)
}

async fn ask(router: &Router, method: Method, path: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).header("host", "a.example.test").header("x-a", "1");
    Answer::of(router.client().await.send(request.body(full("")).expect("a request")).await).await
}

type Router = Running;

#[tokio::test]
async fn a_kept_connection_that_closes_without_an_answer_costs_no_harmless_request() {
    let router = Running::start().await;
    let (server, seen) = closes_after(1, "ok").await;
    router.publish("a", &[server.address]);
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let before = seen.load(Ordering::SeqCst);
        for _ in 0..2 {
            let answer = ask(&router, method.clone(), "/p?q=1").await;
            assert_eq!(answer.status, 200, "{method}: {answer:?}");
        }
        let sent = seen.load(Ordering::SeqCst) - before;
        assert!(sent > 2, "{method}: a request was sent again");
    }
}

#[tokio::test]
async fn a_request_that_is_not_harmless_is_sent_once() {
    let router = Running::start().await;
    let (server, seen) = closes_after(1, "ok").await;
    router.publish("a", &[server.address]);
    assert_eq!(ask(&router, Method::POST, "/").await.status, 200);
    assert_eq!(ask(&router, Method::POST, "/").await.refusal(), (502, "upstream-broken"));
    assert_eq!(seen.load(Ordering::SeqCst), 2);
    // One with a body cannot be sent again either, since the body is gone.
    assert_eq!(ask(&router, Method::PUT, "/").await.status, 200);
    let request = Request::put("/").header("host", "a.example.test").body(full("body")).expect("a request");
    let answer = Answer::of(router.client().await.send(request).await).await;
    assert_eq!(answer.refusal(), (502, "upstream-broken"));
}

/// The first answer never comes, and neither does the second: that is an app that crashes at this request.
#[tokio::test]
async fn a_request_is_sent_twice_at_most() {
    let router = Running::start().await;
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let server = TestServer::raw(move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            loop {
                let head = read_head(&mut stream).await;
                if head.is_empty() || !head.starts_with("GET /fine ") {
                    counter.fetch_add(usize::from(!head.is_empty()), Ordering::SeqCst);
                    return;
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.expect("the router reads");
            }
        }
    })
    .await;
    router.publish("a", &[server.address]);
    assert_eq!(ask(&router, Method::GET, "/fine").await.status, 200);
    assert_eq!(ask(&router, Method::GET, "/crash").await.refusal(), (502, "upstream-broken"));
    assert_eq!(seen.load(Ordering::SeqCst), 2);
    // A fresh connection that closes without an answer is no leftover of an idle one.
    assert_eq!(ask(&router, Method::GET, "/crash").await.refusal(), (502, "upstream-broken"));
    assert_eq!(seen.load(Ordering::SeqCst), 3);
}

/// An instance dies with its connections; the one beside it answers what was on them.
#[tokio::test]
async fn what_was_sent_to_a_dying_instance_goes_to_another() {
    let router = Running::start().await;
    let dying = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = dying.local_addr().expect("an address");
    router.publish("a", &[address]);
    let dies = tokio::spawn(async move {
        let (mut stream, _) = dying.accept().await.expect("the router connects");
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.expect("the router reads");
        read_head(&mut stream).await;
        drop((dying, stream));
    });
    assert_eq!(ask(&router, Method::GET, "/").await.body, "ok");
    let beside = TestServer::text("beside").await;
    let instances = router.table.upstreams(&"a".parse().expect("a name"));
    let listed = vec![(instances[0], address), (crate::model::InstanceId::new(), beside.address)];
    router.table.publish(&"a".parse().expect("a name"), listed);
    for _ in 0..4 {
        let answer = ask(&router, Method::GET, "/").await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "beside"));
    }
    dies.await.expect("it died as it should");
}
