//! Routing settings, from the API to what clients of an app get, and the access lines in its log.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{Answer, App, LONG, Load, Slipway, raw_request, wait_until};

async fn set(app: &App<'_>, settings: Value) -> Value {
    app.user.patch(&app.path("/routing"), &settings).await.expect(200).json()
}

fn reason(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.header("X-Slipway-Error"))
}

/// Waits for the access line that holds all of these words; yields it.
async fn line(app: &App<'_>, words: &[&str]) -> String {
    wait_until(&format!("an access line with {words:?}"), LONG, async || {
        let lines = app.logs().await;
        let ours: Vec<&String> = lines.iter().filter(|line| line.contains("deis[router]: at=")).collect();
        let found = ours.iter().find(|line| words.iter().all(|word| line.contains(word)));
        found.map(|line| (**line).clone()).ok_or_else(|| format!("{ours:#?}"))
    })
    .await
}

#[tokio::test]
async fn settings_hold_from_the_next_request_on_and_outlive_a_restart() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    assert_eq!(app.get("/routing").await["maintenance"], false);

    // A request that is on its way ends as it began; the next one meets maintenance.
    let slow = app.try_ask("/slow?ms=1500");
    let switched = async {
        wait_until("the request is with the app", LONG, async || {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Ok::<_, String>(())
        })
        .await;
        set(&app, json!({ "maintenance": true })).await;
        let refused = app.ask("/").await;
        assert_eq!(reason(&refused), (503, "maintenance"));
        assert!(refused.text.starts_with("503: this app is down for maintenance"), "{}", refused.text);
    };
    let (slow, ()) = tokio::join!(slow, switched);
    assert_eq!(slow.expect("an answer").status, 200);
    let page = "<!DOCTYPE html><h1>Zur\u{fc}ck um zw\u{f6}lf</h1>";
    set(&app, json!({ "maintenance_page": page })).await;
    assert_eq!(app.ask("/").await.text, page);
    assert_eq!(app.versions().await, [2, 1], "no setting makes a release");
    server.kill9().await;
    server.restart().await;
    assert_eq!(app.ask("/").await.text, page);

    // Off and on under load fails no request but by maintenance.
    set(&app, json!({ "maintenance": null })).await;
    app.until_page("release", "v2").await;
    let load = Load::on(&app);
    wait_until("requests flow", LONG, async || {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if load.answered() > 40 { Ok(()) } else { Err(load.answered().to_string()) }
    })
    .await;
    for is_on in [true, false, true, false] {
        set(&app, json!({ "maintenance": is_on, "sticky": is_on, "max_connections": 100 + u8::from(is_on) })).await;
    }
    let failures = load.stop().await;
    let unexpected: Vec<_> = failures.iter().filter(|failure| !failure.ends_with(page)).collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");

    // HTTPS.
    let http = server.addresses().http;
    set(&app, json!({ "https": "redirect" })).await;
    let ask = async |head: &str| {
        raw_request(http, &format!("{head} HTTP/1.1\r\nHost: {}.localhost:{}", app.name, http.port()), "").await.0
    };
    let location =
        |path: &str| format!("location: https://{}.localhost:{}{path}\r\n", app.name, server.addresses().https.port());
    let (get, post) = (ask("GET /p?q=1").await, ask("POST /p").await);
    assert!(get.starts_with("HTTP/1.1 301 ") && format!("{get}\r\n").contains(&location("/p?q=1")), "{get}");
    assert!(post.starts_with("HTTP/1.1 308 ") && format!("{post}\r\n").contains(&location("/p")), "{post}");
    assert!(ask("GET /.well-known/acme-challenge/x").await.starts_with("HTTP/1.1 404 "), "that is the app's");
    set(&app, json!({ "https": null })).await;

    // Limits.
    set(&app, json!({ "max_body_bytes": 1024, "request_timeout_seconds": 1 })).await;
    let host = format!("{}.localhost", app.name);
    let post = async |size: usize| {
        let request = server.http().post(format!("http://{http}/echo")).header("Host", &host).body("x".repeat(size));
        Answer::to(request, "POST /echo".to_owned()).await.unwrap_or_else(|error| panic!("{error}"))
    };
    assert_eq!(post(1024).await.text.len(), 1024);
    assert_eq!(reason(&post(1025).await), (413, "body-too-large"));
    let start = Instant::now();
    assert_eq!(reason(&app.ask("/slow?ms=5000").await), (504, "upstream-timeout"));
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    let refused = owner.patch(&app.path("/routing"), &json!({ "max_body_bytes": 5 })).await.expect(400);
    let text =
        "max_body_bytes cannot be '5': it takes a whole number from 1024 to 1099511627776, or null for the default";
    assert_eq!(refused.json(), json!({ "max_body_bytes": [text] }));
}

#[tokio::test]
async fn clients_stay_with_their_instance_and_requests_leave_lines() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    app.scale(&json!({ "cmd": 2 })).await;
    set(&app, json!({ "sticky": true })).await;
    let (url, host) = (format!("http://{}/", server.addresses().http), format!("{}.localhost", app.name));
    let ask = async |cookie: &str| {
        let request = server.http().get(&url).header("Host", &host).header("Cookie", cookie);
        Answer::to(request, "GET /".to_owned()).await.unwrap_or_else(|error| panic!("{error}")).expect(200)
    };
    let mut pairs = Vec::new();
    for _ in 0..2 {
        let first = ask("theme=dark").await;
        let cookie = first.header("Set-Cookie").to_owned();
        assert!(cookie.starts_with("slipway_instance=") && cookie.contains("HttpOnly"), "{cookie}");
        let pair = cookie.split(';').next().expect("a pair").to_owned();
        for _ in 0..5 {
            let again = ask(&format!("theme=dark; {pair}")).await;
            assert_eq!(again.json()["instance"], first.json()["instance"]);
            assert_eq!(again.header("Set-Cookie"), "");
        }
        pairs.push(pair);
    }
    assert_ne!(pairs[0], pairs[1], "two clients, two instances");
    // The app never sees the cookie.
    let request =
        server.http().get(format!("{url}headers")).header("Host", &host).header("Cookie", format!("a=1; {}", pairs[0]));
    let seen = Answer::to(request, "GET /headers".to_owned()).await.expect("an answer").text;
    assert!(seen.contains("a=1") && !seen.contains("slipway_instance"), "{seen}");
    // After a deploy both instances are gone; the client gets another and a cookie for it.
    repo.commit_file("VERSION", "2\n");
    app.push(&repo).await.succeeded();
    let moved = ask(&pairs[0]).await;
    assert!(moved.header("Set-Cookie").starts_with("slipway_instance="), "{moved:?}");
    lines(&app, &host, &server).await;
}

async fn lines(app: &App<'_>, host: &str, server: &Slipway) {
    let answer = app.ask("/?say=\"hi\"&x=1").await.expect(200);
    let bytes = format!("bytes={}", answer.text.len());
    let text = line(app, &["path=\"/?say=%22hi%22&x=1\"", "status=200", &bytes, "protocol=http"]).await;
    for word in
        ["at=info method=GET ", &format!(" host={host} "), " request_id=", " fwd=\"127.0.0.1\" ", " instance=cmd."]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    let service = text.split("service=").nth(1).and_then(|rest| rest.split("ms").next()).expect("a service time");
    assert!(service.parse::<u64>().is_ok_and(|ms| ms < 10_000), "{text}");

    let mut request = format!("ws://{}/ws", server.addresses().http).into_client_request().expect("a URL");
    request.headers_mut().insert("Host", host.parse().expect("a header"));
    let stream = tokio::net::TcpStream::connect(server.addresses().http).await.expect("the router listens");
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.expect("the upgrade passes");
    socket.send(Message::text("hello")).await.expect("it is sent");
    socket.next().await.expect("an answer").expect("a frame");
    socket.close(None).await.expect("it closes");
    while let Some(Ok(_)) = socket.next().await {}
    line(app, &["path=\"/ws\"", "status=101"]).await;

    set(app, json!({ "maintenance": true })).await;
    app.ask("/refused").await;
    let text = line(app, &["path=\"/refused\"", "status=503"]).await;
    assert!(text.contains("at=error code=maintenance ") && text.contains(" instance=- "), "{text}");
    set(app, json!({ "maintenance": false, "access_log": false })).await;
    app.ask("/?unseen").await.expect(200);
    set(app, json!({ "access_log": true })).await;
    app.ask("/?seen").await.expect(200);
    line(app, &["path=\"/?seen\""]).await;
    assert!(!app.logs().await.join("\n").contains("at=info method=GET path=\"/?unseen\""));
}
