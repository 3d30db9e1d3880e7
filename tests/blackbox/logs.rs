//! Logs: followed over deploys, chosen from, limited, and drained to receivers elsewhere.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::support::{App, LONG, Options, Pair, Repo, SHORT, Slipway, wait_until};

/// An answer that goes on.
struct Followed {
    response: reqwest::Response,
    text: String,
}

impl Followed {
    /// Follows the log of an app, as `curl -N` does.
    async fn of(app: &App<'_>, query: &str) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let path = app.path(&format!("/logs?follow=true{query}"));
        let request = app.user.request(Method::GET, &path).build().expect("a request");
        let response =
            timeout(SHORT, client.execute(request)).await.expect("the head comes at once").expect("an answer");
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["Content-Type"], "text/plain; charset=utf-8");
        Self { response, text: String::new() }
    }

    /// Reads on until `text` has come.
    async fn until(&mut self, text: &str) {
        while !self.text.contains(text) {
            let chunk = timeout(LONG, self.response.chunk()).await;
            let chunk = chunk.unwrap_or_else(|_| panic!("'{text}' does not come:\n{}", self.text));
            let chunk = chunk.expect("the connection holds").unwrap_or_else(|| panic!("it ended:\n{}", self.text));
            self.text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    /// Reads to the end, which has to come.
    async fn read_to_end(&mut self) {
        while let Some(chunk) = timeout(SHORT, self.response.chunk()).await.expect("it ends").expect("no error") {
            self.text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }
}

#[tokio::test]
async fn a_follower_sees_a_deploy_and_what_comes_after_it_once() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("web").await, Repo::of("docker-web"));
    let mut all = Followed::of(&app, "&log_lines=100").await;
    all.until("deis[api]: owner created initial release\n").await;
    let mut releases = Followed::of(&app, "&source=release").await;
    let mut instance = Followed::of(&app, "&instance=web.1&process=web").await;
    app.push(&repo).await.succeeded();
    let commit = &repo.head()[..7];
    let deployed = format!("deis[release]: v2 by owner: deployed {commit}");
    releases.until(&deployed).await;
    let cmd = format!("{}[cmd.1]: listening on 8000\n", app.name);
    let web = format!("{}[web.1]: listening on 8000\n", app.name);
    all.until("listening on 8000\n").await;
    let process = if all.text.contains(&cmd) { "cmd" } else { "web" };
    app.set(&json!({ "GREETING": "hello" })).await;
    app.scale(&json!({ process: 2 })).await;
    app.post("/releases/rollback", &json!({ "version": 2 })).await.expect(201);
    app.post(&format!("/containers/{process}/1/restart"), &json!({})).await.expect(200);
    let marks = [
        "v3 by owner: added GREETING".to_owned(),
        format!("v3 by owner: scaled {process}=2"),
        "v4 by owner: rolled back to v2".to_owned(),
        format!("v4 by owner: restarted {process}.1"),
    ];
    for mark in &marks {
        releases.until(&format!("deis[release]: {mark}\n")).await;
    }
    let lines: Vec<&str> = releases.text.lines().map(|line| line.split_once("]: ").expect("a source").1).collect();
    assert_eq!(lines.len(), 1 + marks.len(), "one mark for each change: {lines:?}");
    assert_eq!(lines[1..], marks);
    if process == "web" {
        instance.until(&web).await;
        assert!(
            instance.text.lines().all(|line| line.contains(&format!(" {}[web.1]: ", app.name))),
            "{}",
            instance.text
        );
    }
    all.until(&marks[3]).await;
    server.settle().await;
    let whole = app.get("/logs?log_lines=100000").await.as_str().expect("text").to_owned();
    let behind = &whole[all.text.len().min(whole.len())..];
    all.until(&format!("{}{behind}", all.text)).await;
    assert_eq!(all.text, whole, "followed is what is stored, nothing missing and nothing twice");
    let chosen = app.get("/logs?source=release&log_lines=2").await;
    assert_eq!(chosen.as_str().expect("text").lines().count(), 2);
    for query in ["source=nobody", "process=a%20b", "instance=web", "follow=perhaps"] {
        let answer = app.user.get(&app.path(&format!("/logs?{query}"))).await.expect(400);
        assert!(answer.json().is_object(), "{}", answer.text);
    }
    owner.delete(&app.path("")).await.expect(204);
    all.read_to_end().await;
}

#[tokio::test]
async fn followers_that_hang_up_leave_nothing_and_a_stop_ends_them() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let app = owner.create("web").await;
    let sockets = || {
        let files = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("our own child");
        files
            .filter(|file| {
                std::fs::read_link(file.as_ref().expect("an entry").path())
                    .is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
            })
            .count()
    };
    let before = sockets();
    let mut followers = Vec::new();
    for _ in 0..20 {
        let mut followed = Followed::of(&app, "").await;
        followed.until("created initial release\n").await;
        followers.push(followed);
    }
    assert!(sockets() >= before + 20);
    let mut last = followers.pop().expect("one");
    drop(followers);
    wait_until("their connections are gone", SHORT, async || {
        let now = sockets();
        if now <= before + 2 { Ok(()) } else { Err(format!("{now} sockets, {before} before")) }
    })
    .await;
    server.stop().await;
    last.read_to_end().await;
    server.restart().await;
}

/// Says a line of 64 KiB, one that is no text, many at once, and one more when it is calm again.
const NOISE: &str = r#"
import sys, time
out = sys.stdout.buffer
out.write(b"begin " + b"x" * 65524 + b" end\n")
out.write(b"\0nul \xff\xfe bytes\n")
out.flush()
time.sleep(3)
out.write(b"".join(b"noise %d\n" % n for n in range(8000)))
out.flush()
time.sleep(3)
out.write(b"calm\n")
out.flush()
time.sleep(1000)
"#;

#[tokio::test]
async fn long_lines_and_bytes_survive_and_a_chatty_app_is_limited() {
    let server = Slipway::start_with(Options::default().env("SLIPWAY_LOG_RATE_PER_APP", "1000")).await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("noise").await, Repo::of("docker-web"));
    repo.write("Procfile", "web: exec python3 server.py\nnoise: exec python3 noise.py\n");
    repo.commit_file("noise.py", NOISE);
    app.push(&repo).await.succeeded();
    app.scale(&json!({ "noise": 1 })).await;
    let mut followed = Followed::of(&app, "&process=noise&log_lines=100000").await;
    followed.until("calm\n").await;
    let said = |text: &str| text.split_once("]: ").map(|(_, said)| said.to_owned()).unwrap_or_default();
    let long = followed.text.lines().map(said).find(|line| line.starts_with("begin ")).expect("the long line");
    assert!(long.len() == 65534 && long.ends_with("x end"), "{} bytes", long.len());
    assert!(followed.text.contains("\0nul \u{fffd}\u{fffd} bytes\n"));
    let heard = followed.text.lines().filter(|line| line.contains("]: noise ")).count();
    let told = app.get("/logs?source=logs").await;
    let dropped: usize = told
        .as_str()
        .expect("text")
        .lines()
        .map(|line| {
            assert!(line.ends_with("dropped: the app logs faster than 1000 lines per second"), "{line}");
            said(line).split(' ').next().expect("a count").parse::<usize>().expect("a number")
        })
        .sum();
    assert!((1000..8000).contains(&heard), "{heard}");
    assert_eq!(heard + dropped, 8000, "what is missing is counted");
    app.ask("/").await.expect(200);
}

/// The next message that is counted by octets; `None` at the end.
async fn message(pipe: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut length = 0;
    loop {
        match timeout(LONG, pipe.read_u8()).await.expect("a message comes") {
            Ok(b' ') => break,
            Ok(digit) => length = length * 10 + usize::from(digit - b'0'),
            Err(_) => return None,
        }
    }
    let mut text = vec![0; length];
    pipe.read_exact(&mut text).await.ok()?;
    Some(String::from_utf8(text).expect("UTF-8"))
}

/// Reads until a message ends so; yields it.
async fn heard(pipe: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    loop {
        let message = message(pipe).await.unwrap_or_else(|| panic!("'{end}' does not come"));
        if message.ends_with(end) {
            return message;
        }
    }
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    timeout(Duration::from_secs(30), listener.accept()).await.expect("a drain connects").expect("a connection").0
}

async fn add_drain(app: &App<'_>, url: &str) -> Value {
    app.post("/log-drains", &json!({ "url": url })).await.expect(201).json()
}

#[tokio::test]
async fn drains_take_the_log_to_syslog_over_tcp_and_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let (pair, trusted) = (Pair::of(&["localhost"]), folder.path().join("trusted.pem"));
    std::fs::write(&trusted, &pair.certificate).expect("our own folder");
    let options = Options::default().env("SLIPWAY_OUTBOUND_ALLOW", "127.0.0.0/8,localhost");
    let server = Slipway::start_with(options.env("SSL_CERT_FILE", trusted.to_str().expect("UTF-8"))).await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("web").await, Repo::of("docker-web"));
    let ((plain, port), (secure, tls_port)) = (listen().await, listen().await);
    let first = add_drain(&app, &format!("syslog://127.0.0.1:{port}")).await;
    let mut receiver = accept(&plain).await;
    add_drain(&app, &format!("syslog+tls://localhost:{tls_port}")).await;
    let mut tls_receiver = acceptor(&pair).accept(accept(&secure).await).await.expect("TLS");

    app.push(&repo).await.succeeded();
    let mark = format!("v2 by owner: deployed {}", &repo.head()[..7]);
    for message in [heard(&mut receiver, &mark).await, heard(&mut tls_receiver, &mark).await] {
        assert!(message.contains(&format!("Z {} slipway release - - ", app.name)), "{message}");
    }
    app.ask("/").await.expect(200);
    let said = heard(&mut receiver, "\"GET / HTTP/1.1\" 200 -").await;
    assert!(said.starts_with("<14>1 2") && said.contains(&format!("Z {} app ", app.name)), "{said}");
    wait_until("all is counted", SHORT, async || {
        let listed = app.get("/log-drains").await;
        let good = |drain: &Value| {
            drain["delivered"].as_u64() > Some(3)
                && drain["connected_since"].is_string()
                && (drain["dropped"] == 0 && drain["errors"] == 0)
        };
        let results = listed["results"].as_array().expect("a list");
        if results.len() == 2 && results.iter().all(good) { Ok(()) } else { Err(listed.to_string()) }
    })
    .await;

    server.stop().await;
    while message(&mut receiver).await.is_some() {}
    server.restart().await;
    let mut receiver = accept(&plain).await;
    let mut tls_receiver = acceptor(&pair).accept(accept(&secure).await).await.expect("TLS");
    app.set(&json!({ "GREETING": "hello" })).await;
    heard(&mut receiver, "v3 by owner: added GREETING").await;
    heard(&mut tls_receiver, "v3 by owner: added GREETING").await;
    let uuid = first["uuid"].as_str().expect("an id");
    owner.delete(&app.path(&format!("/log-drains/{uuid}"))).await.expect(204);
    while message(&mut receiver).await.is_some() {}
    owner.delete(&app.path("")).await.expect(204);
    while message(&mut tls_receiver).await.is_some() {}
}

fn acceptor(pair: &Pair) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("ciphers");
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM");
    let config = config.with_no_client_auth().with_single_cert(vec![pair.der()], key).expect("a pair");
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn a_drain_to_this_very_machine_is_refused_and_secrets_are_not_told() {
    let server = Slipway::start_with(Options::default().env("SLIPWAY_OUTBOUND_ALLOW", "192.0.2.1")).await;
    let owner = server.owner().await;
    let app = owner.create("web").await;
    let refused = app.post("/log-drains", &json!({ "url": "syslog://127.0.0.1:514" })).await.expect(400);
    assert!(refused.text.contains("is not found at a public address"), "{}", refused.text);
    let drain = add_drain(&app, "https://user:hunter22@192.0.2.1/path?token=hunter33").await;
    assert_eq!(drain["url"], "https://***@192.0.2.1/path?***");
    let places = [
        app.get("/log-drains").await.to_string(),
        app.get("/logs").await.to_string(),
        server.log(),
        server.rows("SELECT hex(sealed_url) FROM log_drains").await.join("\n"),
    ];
    let hex: String = b"hunter".iter().map(|byte| format!("{byte:02X}")).collect();
    for place in places {
        assert!(!place.contains("hunter") && !place.contains(&hex), "{place}");
    }
}
