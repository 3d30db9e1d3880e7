//! Switches and stops lose nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::support::{Answer, Running, TestServer, full, name, soon, until};
use crate::model::InstanceId;
use crate::route::RouterConfig;

/// An upstream that says when a request has arrived and answers it once it may.
struct Gated {
    server: TestServer,
    may_answer: Arc<Semaphore>,
    arrived: Arc<AtomicUsize>,
}

impl Gated {
    async fn start() -> Self {
        let (may_answer, arrived) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let (permits, counter) = (Arc::clone(&may_answer), Arc::clone(&arrived));
        let server = TestServer::http(move |_| {
            let permits = Arc::clone(&permits);
            counter.fetch_add(1, Ordering::SeqCst);
            async move {
                permits.acquire().await.expect("never closed").forget();
                Response::new(full("done"))
            }
        })
        .await;
        Self { server, may_answer, arrived }
    }

    async fn arrival(&self) {
        until("the request arrives", || self.arrived.load(Ordering::SeqCst) > 0).await;
    }
}

fn get(host: &str) -> Request<Empty<Bytes>> {
    Request::get("/").header("host", host).body(Empty::new()).expect("a request")
}

/// Clients ask without a pause while the app's upstream is replaced again and again; the server behind the old one is
/// killed as soon as it is drained. A request that came too late to it would fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_switches_under_load_fail_no_request() {
    let router = Running::start().await;
    let app = name("busy");
    let mut current = TestServer::text("hello").await;
    router.publish("busy", &[current.address]);
    let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let (is_over, answered) = (Arc::clone(&is_over), Arc::clone(&answered));
        let mut client = router.client().await;
        clients.spawn(async move {
            while !is_over.load(Ordering::SeqCst) {
                let answer = Answer::of(client.send(get("busy.example.test")).await).await;
                assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "hello"), "{answer:?}");
                answered.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    for _ in 0..50 {
        let before = answered.load(Ordering::SeqCst);
        until("traffic flows", || answered.load(Ordering::SeqCst) >= before + 8).await;
        let next = TestServer::text("hello").await;
        let left_out = router.table.publish(&app, vec![(InstanceId::new(), next.address)]);
        assert_eq!(left_out.iter().map(|old| old.address()).collect::<Vec<_>>(), [current.address]);
        soon("the old upstream drains", left_out[0].drained()).await;
        assert_eq!(left_out[0].in_flight(), 0);
        current = next;
    }
    is_over.store(true, Ordering::SeqCst);
    while let Some(client) = soon("the clients end", clients.join_next()).await {
        client.expect("no request failed");
    }
}

#[tokio::test]
async fn draining_waits_for_the_whole_response_and_lets_nothing_new_in() {
    let router = Running::start().await;
    let (old, new) = (Gated::start().await, TestServer::text("new").await);
    let app = name("slow");
    let kept = InstanceId::new();
    router.table.publish(&app, vec![(kept, old.server.address)]);
    let mut client = router.client().await;
    let asked = tokio::spawn(async move { Answer::of(client.send(get("slow.example.test")).await).await });
    old.arrival().await;
    let again = router.table.publish(&app, vec![(kept, old.server.address)]);
    assert!(again.is_empty(), "the same instance at the same address stays");
    let left_out = router.table.publish(&app, vec![(InstanceId::new(), new.address)]).remove(0);
    assert_eq!((left_out.instance(), left_out.address(), left_out.in_flight()), (kept, old.server.address, 1));
    assert!(tokio::time::timeout(Duration::from_millis(50), left_out.drained()).await.is_err());
    assert_eq!(router.get("slow.example.test", "/").await.body, "new");
    old.may_answer.add_permits(1);
    soon("the old upstream drains", left_out.drained()).await;
    assert_eq!(soon("the old answer", asked).await.expect("no panic").body, "done");
}

#[tokio::test]
async fn cutting_ends_what_is_in_flight() {
    let router = Running::start().await;
    let stuck = Gated::start().await;
    let instance = router.publish("stuck", &[stuck.server.address])[0];
    let mut client = router.client().await;
    let asked = tokio::spawn(async move { Answer::of(client.send(get("stuck.example.test")).await).await });
    stuck.arrival().await;
    let upstream = router.table.retire(&name("stuck"), instance).expect("it was listed");
    upstream.cut();
    let answer = soon("an answer", asked).await.expect("no panic");
    assert_eq!(answer.refusal(), (502, "upstream-broken"));
    soon("nothing is left", upstream.drained()).await;
}

#[tokio::test]
async fn an_instance_that_was_cut_and_is_published_again_starts_afresh() {
    let router = Running::start().await;
    let server = TestServer::text("x").await;
    let instance = router.publish("again", &[server.address])[0];
    router.table.retire(&name("again"), instance).expect("it was listed").cut();
    assert_eq!(router.get("again.example.test", "/").await.refusal(), (503, "no-upstream"));
    router.table.publish(&name("again"), vec![(instance, server.address)]);
    assert_eq!(router.get("again.example.test", "/").await.body, "x");
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    soon("the router closes", stream.read_to_end(&mut rest)).await.is_ok_and(|read| read == 0)
}

#[tokio::test]
async fn a_stop_finishes_requests_and_closes_what_is_idle() {
    let router = Running::start().await;
    let slow = Gated::start().await;
    router.publish("slow", &[slow.server.address]);
    let mut idle = TcpStream::connect(router.address).await.expect("the router accepts");
    let mut kept = TcpStream::connect(router.address).await.expect("the router accepts");
    kept.write_all(b"GET / HTTP/1.1\r\nHost: nobody.example.test\r\n\r\n").await.expect("the router reads");
    let mut head = [0u8; 12];
    soon("an answer", kept.read_exact(&mut head)).await.expect("an answer");
    let mut client = router.client().await;
    let asked = tokio::spawn(async move { Answer::of(client.send(get("slow.example.test")).await).await });
    slow.arrival().await;
    router.stop.cancel();
    assert!(is_closed(&mut idle).await);
    let mut rest = Vec::new();
    soon("the kept connection closes", kept.read_to_end(&mut rest)).await.expect("a clean end");
    assert!(TcpStream::connect(router.address).await.is_err(), "nothing listens any more");
    assert!(!asked.is_finished());
    slow.may_answer.add_permits(1);
    assert_eq!(soon("the last answer", asked).await.expect("no panic").body, "done");
    let mut router = router;
    soon("serve returns", &mut router.served).await.expect("no panic");
}

#[tokio::test]
async fn a_stop_does_not_wait_longer_than_the_drain() {
    let config = RouterConfig { drain: Duration::from_millis(100), ..RouterConfig::default() };
    let mut router = Running::start_with(config, None).await;
    let stuck = Gated::start().await;
    router.publish("stuck", &[stuck.server.address]);
    let mut client = router.client().await;
    let asked = tokio::spawn(async move { client.try_send(get("stuck.example.test")).await.map(|_| ()) });
    stuck.arrival().await;
    router.stop.cancel();
    soon("serve returns", &mut router.served).await.expect("no panic");
    assert!(soon("the request ends", asked).await.expect("no panic").is_err());
}

/// A slow reader of a long response counts as in flight until it has it all.
#[tokio::test]
async fn a_response_under_way_keeps_its_upstream_claimed() {
    let router = Running::start().await;
    let large = TestServer::http(|_| async { Response::new(full(vec![b'x'; 8 << 20])) }).await;
    let address: SocketAddr = large.address;
    let instance = router.publish("large", &[address])[0];
    let mut client = router.client().await;
    let response = client.send(get("large.example.test")).await;
    let upstream = router.table.retire(&name("large"), instance).expect("it was listed");
    assert_eq!(upstream.in_flight(), 1);
    assert!(tokio::time::timeout(Duration::from_millis(50), upstream.drained()).await.is_err());
    let body = soon("the body", response.into_body().collect()).await.expect("whole").to_bytes();
    assert_eq!(body.len(), 8 << 20);
    soon("the upstream drains", upstream.drained()).await;
}
