//! Which upstream answers, and what the client is told when none does.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use super::support::{Answer, Running, TestServer, closed_port, full, name, patient, read_head, soon, until};

#[tokio::test]
async fn a_request_reaches_the_app_that_its_host_names() {
    let router = Running::start().await;
    let (one, two) = (TestServer::text("one").await, TestServer::text("two").await);
    router.publish("one", &[one.address]);
    router.publish("two", &[two.address]);
    for host in ["one.example.test", "ONE.Example.Test:8080", "one.example.test."] {
        assert_eq!(router.get(host, "/").await.body, "one", "{host}");
    }
    assert_eq!(router.get("two.example.test", "/").await.body, "two");
    let absolute = router
        .raw(b"GET http://two.example.test/ HTTP/1.1\r\nHost: one.example.test\r\nConnection: close\r\n\r\n")
        .await;
    assert!(absolute.ends_with("two"), "{absolute}");
    let old = router.raw(b"GET / HTTP/1.0\r\nHost: one.example.test\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.") && old.ends_with("one"), "{old}");
}

#[tokio::test]
async fn the_platform_answers_at_its_own_host() {
    let router = Running::start().await;
    let answer = router.get("Slipway.example.test:1", "/v1/apps?x=1").await;
    assert_eq!(answer.body, "platform /v1/apps?x=1 Some(\"http\")");
}

#[tokio::test]
async fn an_answer_of_slipways_own_says_so_and_why() {
    let router = Running::start().await;
    router.set("sleeps", patient(Duration::from_millis(100), Duration::from_secs(60)));
    let closes = TestServer::raw(|mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    let sleeps = TestServer::raw(|mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let garbage = TestServer::says("SSH-2.0-not-http\r\n").await;
    let unasked =
        TestServer::says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n").await;
    router.table.add_app(&name("empty"));
    router.publish("refused", &[closed_port().await]);
    router.publish("closes", &[closes.address]);
    router.publish("sleeps", &[sleeps.address]);
    router.publish("garbage", &[garbage.address]);
    router.publish("unasked", &[unasked.address]);
    for (app, status, reason) in [
        ("nobody", 404, "unknown-host"),
        ("empty", 503, "no-upstream"),
        ("refused", 502, "upstream-refused"),
        ("closes", 502, "upstream-broken"),
        ("garbage", 502, "upstream-broken"),
        ("unasked", 502, "upstream-broken"),
        ("sleeps", 504, "upstream-timeout"),
    ] {
        let answer = router.get(&format!("{app}.example.test"), "/").await;
        assert_eq!(answer.refusal(), (status, reason), "{app}");
        assert!(answer.body.starts_with(&status.to_string()), "{}", answer.body);
        assert!(answer.header("content-type").starts_with("text/plain"));
        assert!(!answer.header("x-request-id").is_empty());
    }
    for host in ["example.test", "a.b.example.test", "127.0.0.1", "nobody.other"] {
        assert_eq!(router.get(host, "/").await.refusal(), (404, "unknown-host"), "{host}");
    }
}

#[tokio::test]
async fn an_app_cannot_pass_its_own_errors_off_as_slipways() {
    let router = Running::start().await;
    let liar = TestServer::http(|_| async {
        let mut response = Response::new(full("sorry"));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response.headers_mut().insert("x-slipway-error", "no-upstream".parse().expect("a value"));
        response
    })
    .await;
    router.publish("liar", &[liar.address]);
    assert_eq!(router.get("liar.example.test", "/").await.refusal(), (502, ""));
}

#[tokio::test]
async fn the_app_learns_who_asked_and_the_client_learns_the_request_id() {
    let router = Running::start().await;
    let echo = TestServer::http(|request: Request<_>| async move {
        let lines: Vec<String> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
            .collect();
        Response::new(full(format!("{}\n{}", request.uri(), lines.join("\n"))))
    })
    .await;
    router.publish("echo", &[echo.address]);
    let request = Request::get("/p?q=%20")
        .header("host", "Echo.Example.Test:99")
        .header("x-forwarded-for", "9.9.9.9")
        .header("connection", "x-private")
        .header("x-private", "1")
        .header("x-request-id", "mine-1")
        .body(Empty::<Bytes>::new())
        .expect("a request");
    let answer = Answer::of(router.client().await.send(request).await).await;
    let mut lines: Vec<&str> = answer.body.lines().collect();
    lines.sort_unstable();
    let port = format!("x-forwarded-port: {}", router.address.port());
    assert_eq!(
        lines,
        [
            "/p?q=%20",
            "host: Echo.Example.Test:99",
            "x-forwarded-for: 9.9.9.9, 127.0.0.1",
            &port,
            "x-forwarded-proto: http",
            "x-request-id: mine-1",
        ]
    );
    assert_eq!(answer.header("x-request-id"), "mine-1");
    let fresh = router.get("echo.example.test", "/").await;
    assert!(fresh.body.contains(&format!("x-request-id: {}", fresh.header("x-request-id"))));
}

#[tokio::test]
async fn requests_take_turns_and_avoid_the_busy_upstream() {
    let router = Running::start().await;
    let (one, two) = (TestServer::text("one").await, TestServer::text("two").await);
    router.publish("turns", &[one.address, two.address]);
    let mut counts = HashMap::new();
    for _ in 0..10 {
        *counts.entry(router.get("turns.example.test", "/").await.body).or_insert(0) += 1;
    }
    assert_eq!(counts, HashMap::from([("one".to_owned(), 5), ("two".to_owned(), 5)]));

    let arrived = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&arrived);
    let stuck = TestServer::raw(move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            read_head(&mut stream).await;
            counter.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
    })
    .await;
    router.publish("turns", &[stuck.address, one.address]);
    let mut asked = JoinSet::new();
    // One of the first two lands on the stuck upstream and stays there; then all go to the other.
    for _ in 0..2 {
        let (mut client, request) = (router.client().await, Request::get("/").header("host", "turns.example.test"));
        let request = request.body(Empty::<Bytes>::new()).expect("a request");
        asked.spawn(async move { client.send(request).await });
        soon("the request is answered or stuck", async {
            while arrived.load(Ordering::SeqCst) < asked.len() {
                tokio::select! {
                    Some(answered) = asked.join_next() => drop(answered.expect("an answer")),
                    () = tokio::time::sleep(Duration::from_millis(2)) => {}
                }
            }
        })
        .await;
    }
    assert_eq!(arrived.load(Ordering::SeqCst), 1);
    for _ in 0..10 {
        assert_eq!(router.get("turns.example.test", "/").await.body, "one");
    }
}

#[tokio::test]
async fn a_refused_connection_is_tried_on_another_upstream_even_for_post() {
    let router = Running::start().await;
    let alive = TestServer::text("alive").await;
    router.publish("half", &[closed_port().await, alive.address, closed_port().await]);
    let mut client = router.client().await;
    for _ in 0..12 {
        let request = Request::post("/").header("host", "half.example.test").body(full("payload")).expect("a request");
        let answer = Answer::of(client.send(request).await).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "alive"));
    }
}

#[tokio::test]
async fn a_connection_that_the_upstream_closed_while_idle_costs_no_request() {
    let router = Running::start().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    // Each connection promises to live on, answers one request and closes.
    let fickle = TestServer::raw(move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.expect("the router reads");
            drop(stream);
            counter.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    router.publish("fickle", &[fickle.address]);
    for round in 1..=50 {
        let mut client = router.client().await;
        let request = Request::post("/").header("host", "fickle.example.test").body(Empty::<Bytes>::new());
        let answer = Answer::of(client.send(request.expect("a request")).await).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "ok"), "round {round}");
        until("the upstream closes", || connections.load(Ordering::SeqCst) == round).await;
    }
}

#[tokio::test]
async fn connections_to_an_upstream_are_used_again() {
    let router = Running::start().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    let steady = TestServer::raw(move |mut stream| {
        counter.fetch_add(1, Ordering::SeqCst);
        async move {
            while !read_head(&mut stream).await.is_empty() {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.expect("the router reads");
            }
        }
    })
    .await;
    router.publish("steady", &[steady.address]);
    for _ in 0..20 {
        assert_eq!(router.get("steady.example.test", "/").await.body, "ok");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_request() {
    let router = Running::start().await;
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let patient = TestServer::raw(move |mut stream| {
        let told = told.clone();
        async move {
            read_head(&mut stream).await;
            told.send("asked").expect("the test listens");
            assert_eq!(read_head(&mut stream).await, "", "the router says nothing more");
            told.send("closed").expect("the test listens");
        }
    })
    .await;
    let instance = router.publish("patient", &[patient.address])[0];
    let mut stream = tokio::net::TcpStream::connect(router.address).await.expect("the router accepts");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: patient.example.test\r\n\r\n").await.expect("the router reads");
    assert_eq!(soon("the request", hears.recv()).await, Some("asked"));
    let upstream = {
        drop(stream);
        assert_eq!(soon("the cancellation", hears.recv()).await, Some("closed"));
        router.table.retire(&name("patient"), instance).expect("it was listed")
    };
    soon("the claim is given back", upstream.drained()).await;
}

#[tokio::test]
async fn an_app_is_known_from_its_addition_to_its_removal() {
    let router = Running::start().await;
    let (app, server) = (name("brief"), TestServer::text("up").await);
    router.table.add_app(&app);
    assert_eq!(router.get("brief.example.test", "/").await.status, 503);
    let instance = router.publish("brief", &[server.address])[0];
    router.table.add_app(&app);
    assert_eq!(router.table.upstreams(&app), [instance]);
    assert_eq!(router.get("brief.example.test", "/").await.body, "up");
    assert!(router.table.retire(&app, crate::model::InstanceId::new()).is_none());
    assert_eq!(router.table.retire(&app, instance).map(|gone| gone.instance()), Some(instance));
    assert_eq!(router.get("brief.example.test", "/").await.status, 503);
    router.table.remove_app(&app);
    assert_eq!(router.get("brief.example.test", "/").await.status, 404);
    assert!(router.table.upstreams(&app).is_empty());
}
