//! What an app's routing settings do to its requests.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::support::{Answer, Running, TestServer, full, name, soon, until};
use crate::model::{AppId, HttpsMode, Routing};
use crate::route::app::Settings;
use crate::route::{BoxError, RouterConfig};

fn set(router: &Running, app: &str, routing: &Routing) {
    router.table.add_app(&name(app));
    router.table.set_routing([(&name(app), AppId::new(), routing)]);
}

async fn ask(router: &Running, host: &str, headers: &[(&str, &str)]) -> Answer {
    let request = headers
        .iter()
        .fold(Request::get("/p?q=1").header("host", host), |request, (name, value)| request.header(*name, *value));
    Answer::of(router.client().await.send(request.body(Empty::<Bytes>::new()).expect("a request")).await).await
}

#[tokio::test]
async fn maintenance_answers_in_place_of_the_app_from_the_next_request_on() {
    let router = Running::start().await;
    let server = TestServer::text("the app").await;
    router.publish("a", &[server.address]);
    let ask = async |accept: &str| ask(&router, "a.example.test", &[("accept", accept)]).await;
    assert_eq!(ask("*/*").await.body, "the app");
    set(&router, "a", &Routing { maintenance: true, ..Routing::default() });
    let own = ask("text/html,*/*;q=0.8").await;
    assert_eq!(own.refusal(), (503, "maintenance"));
    assert_eq!((own.header("content-type"), own.header("cache-control")), ("text/html; charset=utf-8", "no-store"));
    assert!(own.body.contains("<b>503</b>") && own.body.contains("Slipway answered this"), "{}", own.body);
    let plain = ask("*/*").await;
    assert_eq!(plain.header("content-type"), "text/plain; charset=utf-8");
    assert!(plain.body.starts_with("503: this app is down for maintenance"), "{}", plain.body);
    let page = "<h1>Back at noon</h1>";
    set(&router, "a", &Routing { maintenance: true, maintenance_page: Some(page.to_owned()), ..Routing::default() });
    for accept in ["text/html", "*/*"] {
        let custom = ask(accept).await;
        assert_eq!((custom.refusal(), custom.body.as_str()), ((503, "maintenance"), page), "{accept}");
        assert_eq!(custom.header("content-type"), "text/html; charset=utf-8");
    }
    let json = ask("application/json").await;
    assert!(json.refusal() == (503, "maintenance") && json.body.starts_with("503: "), "{json:?}");
    set(&router, "a", &Routing::default());
    assert_eq!(ask("*/*").await.body, "the app");
}

#[tokio::test]
async fn plain_http_is_sent_to_https_where_that_is_asked_for() {
    let router = Running::start_with(RouterConfig { https_port: 8443, ..RouterConfig::default() }, None).await;
    let server = TestServer::text("the app").await;
    router.publish("a", &[server.address]);
    set(&router, "a", &Routing { https: HttpsMode::Redirect, hsts_seconds: 60, ..Routing::default() });
    let host = format!("A.example.test:{}", router.address.port());
    for (method, status) in [(Method::GET, 301), (Method::HEAD, 301), (Method::POST, 308), (Method::DELETE, 308)] {
        let request = Request::builder().method(method.clone()).uri("/p/a?q=%20&r").header("host", &host);
        let answer = Answer::of(router.client().await.send(request.body(full("")).expect("a request")).await).await;
        assert_eq!(answer.status, status, "{method}");
        assert_eq!(answer.header("location"), "https://A.example.test:8443/p/a?q=%20&r", "{method}");
        assert!(!answer.headers.contains_key("strict-transport-security"), "browsers must not heed it by HTTP");
    }
    let proof = router.get("a.example.test", "/.well-known/acme-challenge/token").await;
    assert_eq!((proof.status.as_u16(), proof.body.as_str()), (200, "the app"));
    assert_eq!(router.get("slipway.example.test", "/").await.status, 200);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_at_once_or_when_it_gets_so() {
    let router = Running::start().await;
    let counts = TestServer::http(|request: Request<Incoming>| async move {
        match request.into_body().collect().await {
            Ok(body) => Response::new(full(body.to_bytes().len().to_string())),
            Err(_) => Response::new(full("broken")),
        }
    })
    .await;
    router.publish("a", &[counts.address]);
    set(&router, "a", &Routing { max_body_bytes: 1024, ..Routing::default() });
    let whole = async |size: usize| {
        let body = full(vec![b'x'; size]);
        let request = Request::post("/").header("host", "a.example.test").body(body).expect("a request");
        Answer::of(router.client().await.send(request).await).await
    };
    assert_eq!(whole(1024).await.body, "1024");
    let refused = whole(1025).await;
    assert_eq!((refused.refusal(), refused.header("connection")), ((413, "body-too-large"), "close"));

    // Nobody has to send a body that is going to be refused.
    let mut stream = tokio::net::TcpStream::connect(router.address).await.expect("the router accepts");
    let head = "POST / HTTP/1.1\r\nHost: a.example.test\r\nExpect: 100-continue\r\nContent-Length: 9999999999\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("the router reads");
    let mut answer = String::new();
    soon("the answer", stream.read_to_string(&mut answer)).await.expect("text");
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("x-slipway-error: body-too-large"), "{answer}");

    let pieces = async |count: usize| {
        let piece = || Ok::<_, BoxError>(Frame::data(Bytes::from_static(&[b'x'; 256])));
        let stream = futures_util::stream::iter((0..count).map(move |_| piece()));
        let request = Request::post("/").header("host", "a.example.test").body(StreamBody::new(stream));
        Answer::of(router.client().await.send(request.expect("a request")).await).await
    };
    assert_eq!(pieces(4).await.body, "1024");
    assert_eq!(pieces(5).await.refusal(), (413, "body-too-large"));
}

#[tokio::test]
async fn an_app_answers_no_more_at_once_than_it_may() {
    let router = Running::start().await;
    let (release, arrived) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let (gate, bell) = (Arc::clone(&release), Arc::clone(&arrived));
    let server = TestServer::http(move |_| {
        let (gate, bell) = (Arc::clone(&gate), Arc::clone(&bell));
        async move {
            bell.add_permits(1);
            gate.acquire().await.expect("open").forget();
            Response::new(full("done"))
        }
    })
    .await;
    router.publish("a", &[server.address]);
    set(&router, "a", &Routing { max_connections: 2, ..Routing::default() });
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let mut client = router.client().await;
        let request = Request::get("/").header("host", "a.example.test").body(Empty::<Bytes>::new());
        clients.spawn(async move { client.send(request.expect("a request")).await.status() });
    }
    soon("both arrive", arrived.acquire_many(2)).await.expect("open").forget();
    let refused = router.get("a.example.test", "/").await;
    assert_eq!(refused.refusal(), (503, "app-busy"));
    // A new setting counts those that are there already.
    set(&router, "a", &Routing { max_connections: 1, ..Routing::default() });
    assert_eq!(router.get("a.example.test", "/").await.refusal(), (503, "app-busy"));
    set(&router, "a", &Routing { max_connections: 3, ..Routing::default() });
    release.add_permits(3);
    assert_eq!(router.get("a.example.test", "/").await.body, "done");
    while let Some(status) = clients.join_next().await {
        assert_eq!(status.expect("no panic"), 200);
    }
}

fn cookie_of(answer: &Answer) -> Option<String> {
    let cookie = answer.headers.get("set-cookie")?.to_str().expect("text");
    cookie.starts_with("slipway_instance=").then(|| cookie.split(';').next().expect("a pair").to_owned())
}

#[tokio::test]
async fn a_client_stays_with_its_instance_until_that_is_gone() {
    let router = Running::start().await;
    let tells = |text: &'static str| {
        TestServer::http(move |request: Request<Incoming>| async move {
            let cookies: Vec<_> =
                request.headers().get_all("cookie").iter().map(|c| c.to_str().expect("text")).collect();
            Response::builder()
                .header("set-cookie", "mine=1")
                .body(full(format!("{text} {}", cookies.join("|"))))
                .expect("a response")
        })
    };
    let (one, two) = (tells("one").await, tells("two").await);
    router.publish("a", &[one.address, two.address]);
    let ask = async |cookie: &str| match cookie {
        "" => ask(&router, "a.example.test", &[]).await,
        cookie => ask(&router, "a.example.test", &[("cookie", cookie)]).await,
    };
    let before = ask("slipway_instance=1; a=2").await;
    assert!(before.body.ends_with("slipway_instance=1; a=2"), "without stickiness cookies are the app's: {before:?}");
    set(&router, "a", &Routing { sticky: true, ..Routing::default() });
    let first = ask("a=2").await;
    let cookies: Vec<_> = first.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies.len(), 2, "the app's own stays beside it: {first:?}");
    let cookie = cookies[1].to_str().expect("text").to_owned();
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{cookie}");
    let pair = cookie.split(';').next().expect("a pair").to_owned();
    for _ in 0..6 {
        let again = ask(&format!("a=2; {pair}; b=3")).await;
        assert_eq!(again.body, format!("{} a=2; b=3", first.body.split(' ').next().expect("a word")));
        assert_eq!(again.headers.get_all("set-cookie").iter().count(), 1, "nothing new to remember");
    }
    // A deploy replaces both.
    router.publish("a", &[TestServer::text("three").await.address]);
    let moved = ask(&pair).await;
    assert!(moved.status == 502, "that server is gone already: {moved:?}");
    let three = TestServer::text("three").await;
    router.publish("a", &[three.address]);
    let moved = ask(&pair).await;
    assert_eq!(moved.body, "three");
    assert!(cookie_of(&moved).is_some_and(|fresh| fresh != pair));
}

#[tokio::test]
async fn who_is_silent_or_trickles_is_cut_off_and_a_conversation_is_not() {
    let router = Running::start().await;
    let idle = Settings { idle_timeout: Duration::from_millis(150), ..Settings::default() };
    router.set("echo", idle);
    let echo = TestServer::http(|request: Request<Incoming>| async move { Response::new(request.into_body()) }).await;
    router.publish("echo", &[echo.address]);
    let (pieces, receiver) = mpsc::unbounded_channel::<Result<Frame<Bytes>, BoxError>>();
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|frame| (frame, receiver))
    });
    let request = Request::post("/").header("host", "echo.example.test").body(StreamBody::new(Box::pin(stream)));
    let mut client = router.client().await;
    pieces.send(Ok(Frame::data(Bytes::from_static(b"a")))).expect("open");
    let mut body = client.send(request.expect("a request")).await.into_body();
    for _ in 0..6 {
        soon("a piece", body.frame()).await.expect("a frame").expect("no error");
        tokio::time::sleep(Duration::from_millis(50)).await;
        pieces.send(Ok(Frame::data(Bytes::from_static(b"a")))).expect("open");
    }
    soon("a piece", body.frame()).await.expect("a frame").expect("no error");
    // Then silence.
    assert!(soon("the end", body.frame()).await.is_none_or(|frame| frame.is_err()));
    let told = router.told.requests(1).await;
    assert!(told[0].starts_with("echo there 200 response-"), "{told:?}");
}

/// A client that reads nothing of a large answer keeps neither the instance nor the place in the app.
#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let config = RouterConfig { stall_timeout: Duration::from_millis(200), ..RouterConfig::default() };
    let router = Running::start_with(config, None).await;
    let large = TestServer::http(|_| async { Response::new(full(vec![b'x'; 64 << 20])) }).await;
    router.publish("large", &[large.address]);
    let mut stream = tokio::net::TcpStream::connect(router.address).await.expect("the router accepts");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: large.example.test\r\n\r\n").await.expect("the router reads");
    let told = router.told.requests(1).await;
    assert!(told[0].starts_with("large there 200 client-gone 0 "), "{told:?}");
    drop(stream);
    until("nothing is in flight", || router.table.upstreams(&name("large")).len() == 1).await;
}

#[tokio::test]
async fn hsts_is_said_by_https_only_and_the_apps_own_stays() {
    let (certificate, key) = crate::route::tls::self_signed("example.test").expect("a certificate");
    let own = crate::route::tls::certified_key(&certificate, &key).expect("usable");
    let config =
        crate::route::tls::server_config(crate::route::Certificates::new(own, crate::route::Challenges::default()));
    let router = Running::start_with(RouterConfig::default(), Some(config)).await;
    let plain = TestServer::text("plain").await;
    let sets = TestServer::http(|_| async {
        Response::builder().header("strict-transport-security", "max-age=1").body(full("sets")).expect("a response")
    })
    .await;
    router.publish("plain", &[plain.address]);
    router.publish("sets", &[sets.address]);
    let routing = Routing {
        hsts_seconds: 60,
        hsts_subdomains: true,
        https: HttpsMode::Redirect,
        sticky: true,
        ..Routing::default()
    };
    for app in ["plain", "sets", "empty"] {
        set(&router, app, &routing);
    }
    let ask = async |host: &str| super::tls::get(&router, &certificate, host).await;
    let (status, headers): (u16, HeaderMap) = ask("plain.example.test").await;
    assert_eq!(
        (status, &headers["strict-transport-security"]),
        (200, &"max-age=60; includeSubDomains".parse().unwrap())
    );
    assert!(headers["set-cookie"].to_str().expect("text").ends_with("; Secure"), "{headers:?}");
    assert_eq!(ask("sets.example.test").await.1["strict-transport-security"], "max-age=1");
    let (status, headers) = ask("empty.example.test").await;
    assert_eq!(
        (status, &headers["strict-transport-security"]),
        (503, &"max-age=60; includeSubDomains".parse().unwrap())
    );
}
