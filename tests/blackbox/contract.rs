//! What scripts rely on: settings, the ready file, commands and their exit statuses.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{KeyKind, Options, SHORT, Slipway, User, raw_request, wait_until};

/// Runs a command of the binary with the server's settings; yields exit status and output.
fn slipway(server: &Slipway, options: &Options, args: &[&str], input: &str) -> (Option<i32>, String) {
    let mut command = server.command(options);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary was built by cargo");
    // A command that needs no input may be gone before it is written.
    let _ = child.stdin.take().expect("it was asked for").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn the_ready_file_has_every_address_and_the_process() {
    let server = Slipway::start().await;
    let text = std::fs::read_to_string(server.ready_file()).expect("it is there");
    let ready: Value = serde_json::from_str(&text).expect("it is JSON");
    let mut keys: Vec<&String> = ready.as_object().expect("an object").keys().collect();
    keys.sort();
    assert_eq!(keys, ["api", "http", "https", "pid", "ssh"]);
    let addresses = server.addresses();
    let all = [addresses.api, addresses.ssh, addresses.http, addresses.https];
    assert!(all.iter().all(|address| address.ip().is_loopback() && address.port() != 0), "{text}");
    for address in all {
        tokio::net::TcpStream::connect(address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
    }
    assert_eq!(ready["pid"], server.pid());
    let (head, body) = raw_request(addresses.api, "GET /healthz HTTP/1.1\r\nHost: x", "").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head} {body}");
    let key = server.data_dir();
    let modes = std::fs::read_dir(&key).expect("our own folder").filter_map(Result::ok).filter_map(|entry| {
        use std::os::unix::fs::PermissionsExt;
        let is_secret = entry.file_name().to_string_lossy().contains("key");
        is_secret.then(|| {
            (entry.path(), entry.metadata().map(|metadata| metadata.permissions().mode() & 0o777).unwrap_or(0))
        })
    });
    let modes: Vec<_> = modes.collect();
    assert!(modes.len() >= 2 && modes.iter().all(|(_, mode)| *mode == 0o600), "{modes:?}");
}

#[tokio::test]
async fn monitoring_sees_whether_the_server_works_and_what_it_did() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let ask =
        async |path: &str| raw_request(server.addresses().api, &format!("GET {path} HTTP/1.1\r\nHost: x"), "").await;
    let (head, body) = ask("/healthz/ready").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head} {body}");
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap(),
        json!({"status": "ok", "database": "ok", "engine": "ok"})
    );

    let (app, _repo) = owner.serving("docker-web").await;
    app.set(&json!({ "A": "1" })).await;
    let (head, text) = ask("/metrics").await;
    assert!(head.to_ascii_lowercase().contains("content-type: text/plain; version=0.0.4"), "{head}");
    for line in [
        "slipway_operations_total{kind=\"push\",status=\"succeeded\"} 1",
        "slipway_operations_total{kind=\"config\",status=\"succeeded\"} 1",
        "slipway_builds_total{source=\"commit\",status=\"succeeded\"} 1",
        "slipway_apps 1",
        "slipway_instances{state=\"live\"} 1",
        "slipway_builds{state=\"building\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    // What the world reaches through the router tells nothing of this.
    let host = "GET /metrics HTTP/1.1\r\nHost: slipway.localhost";
    let (head, body) = raw_request(server.addresses().http, host, "").await;
    assert!(head.starts_with("HTTP/1.1 404 "), "{head} {body}");
}

#[tokio::test]
async fn flags_win_over_the_environment_and_that_over_the_file() {
    let toml = "domain = 'file.test'\nregistration = 'admin-only'\n";
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, toml).expect("our own folder");
    let options = Options::default().env("SLIPWAY_DOMAIN", "env.test");
    let options = options.args(&["--config", file.to_str().expect("UTF-8"), "--domain", "flag.test"]);
    let server = Slipway::start_with(options).await;
    let admin = server.admin().await;
    let app = admin.create("named").await;
    assert_eq!(app.get("").await["url"], format!("{}.flag.test", app.name));
    let http = server.addresses().http;
    let (head, _) = raw_request(http, &format!("GET / HTTP/1.1\r\nHost: {}.flag.test", app.name), "").await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");

    // From the file: the administrator may register others, nobody else may.
    let account = [("username", "mallory"), ("password", "x"), ("email", "")];
    let refused = admin.form("/auth/register", &account).await.expect(403);
    assert_eq!(
        refused.json(),
        json!({ "detail": "registration is not open on this server; ask its administrator for an account, who types: \
                                                slipway user create NAME" })
    );

    server.stop().await;
    server
        .restart_with(Options::default().env("SLIPWAY_DOMAIN", "env.test").env("SLIPWAY_REGISTRATION", "closed"))
        .await;
    assert_eq!(app.get("").await["url"], format!("{}.env.test", app.name));
    admin.form("/auth/register", &account).await.expect(403);
}

#[tokio::test]
async fn a_bad_setting_is_named_and_nothing_is_started() {
    let server = Slipway::start().await;
    let (code, text) = slipway(&server, &Options::default().env("SLIPWAY_API_ADDR", "8000"), &["serve"], "");
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("environment variable SLIPWAY_API_ADDR: '8000'") && text.contains("127.0.0.1:8000"),
        "{text}"
    );
    let (code, text) = slipway(&server, &Options::default(), &["serve", "--no-such-flag"], "");
    assert_eq!(code, Some(2), "{text}");
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let data_dir = server.data_dir().display().to_string();
    let options =
        Options::default().env("SLIPWAY_READY_FILE", server.data_dir().join("second.json").to_str().expect("UTF-8"));
    let (code, text) = slipway(&server, &options, &["serve"], "");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&data_dir), "{text}");
    owner.create("still").await;
}

#[tokio::test]
async fn doctor_tells_a_sound_machine_from_one_that_needs_mending() {
    let server = Slipway::start().await;
    let (code, text) = slipway(&server, &Options::default(), &["doctor"], "");
    assert_eq!(code, Some(0), "{text}");
    for word in ["git", "engine", "stack"] {
        assert!(text.to_lowercase().contains(word), "nothing about '{word}' in:\n{text}");
    }
    let nowhere = Options::default().env("SLIPWAY_DOCKER_HOST", "unix:///nonexistent/docker.sock");
    let (code, text) = slipway(&server, &nowhere, &["doctor"], "");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("/nonexistent/docker.sock") && text.contains("type: "), "{text}");
    let taken = Options::default().env("SLIPWAY_HTTP_ADDR", "256.0.0.1:80");
    assert_eq!(slipway(&server, &taken, &["doctor"], "").0, Some(1));
}

#[tokio::test]
async fn accounts_can_be_made_and_recovered_on_the_host() {
    let server = Slipway::start_with(Options::default().env("SLIPWAY_REGISTRATION", "closed")).await;
    let run = |args: &[&str], input: &str| slipway(&server, &Options::default(), args, input);
    let (code, text) = run(&["user", "create", "root", "--admin"], "first secret\n");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("root") && !text.contains("first secret"), "{text}");
    let key = crate::support::Key::new(KeyKind::Ed25519);
    let mut root = User {
        server: &server,
        name: "root".to_owned(),
        password: "first secret".to_owned(),
        token: String::new(),
        key,
    };
    root.log_in().await;
    let token = root.token.clone();
    root.add_key("laptop", &root.key.public).await.expect(201);

    let (code, text) = run(&["user", "reset-password", "root"], "second secret\n");
    assert_eq!(code, Some(0), "{text}");
    root.form("/auth/login", &[("username", "root"), ("password", "first secret")]).await.expect(400);
    root.password = "second secret".to_owned();
    root.log_in().await;
    assert_ne!(root.token, token, "whoever signed in with the old password has to sign in again");

    // Without a password on standard input one is made up and shown.
    let (code, text) = run(&["user", "create", "guest"], "");
    assert_eq!(code, Some(0), "{text}");
    let password = text.split_whitespace().last().expect("it is the last word");
    let guest = root.form("/auth/login", &[("username", "guest"), ("password", password)]).await.expect(200);
    assert_ne!(guest.json()["token"], token);

    for args in [&["user", "create", "root"], &["user", "reset-password", "nobody"], &["user", "create", "bad name"]] {
        let (code, text) = run(args, "x\n");
        assert_ne!(code, Some(0), "{args:?}: {text}");
        assert!(text.contains(args[2]) || text.contains("taken"), "{args:?}: {text}");
    }
}

#[tokio::test]
async fn help_and_version_need_no_server() {
    let server = Slipway::start().await;
    let run = |args: &[&str]| slipway(&server, &Options::default(), args, "");
    let (code, text) = run(&["--version"]);
    assert_eq!((code, text.starts_with("slipway ")), (Some(0), true), "{text}");
    let (code, text) = run(&["serve", "--help"]);
    assert_eq!(code, Some(0));
    for setting in ["--data-dir", "SLIPWAY_API_ADDR", "--ready-file", "SLIPWAY_DRAIN_TIMEOUT"] {
        assert!(text.contains(setting), "nothing about {setting} in:\n{text}");
    }
    let (code, _) = run(&["nonsense"]);
    assert_eq!(code, Some(2));
}

#[tokio::test]
async fn the_log_holds_no_secrets() {
    let server = Slipway::start_with(Options::default().env("SLIPWAY_LOG", "debug")).await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    app.set(&json!({ "SECRET": "sesame-open-up" })).await;
    assert_eq!(app.ask("/env/SECRET").await.json()["SECRET"], "sesame-open-up");
    wait_until("the server has logged something", SHORT, async || {
        let log = server.log();
        if log.contains("slipway") { Ok(()) } else { Err(log) }
    })
    .await;
    let log = server.log();
    for secret in ["sesame-open-up", owner.password.as_str(), owner.token.as_str()] {
        assert!(!log.contains(secret), "the server's log contains '{secret}':\n{log}");
    }
    let stored = std::fs::read(server.data_dir().join("slipway.db")).expect("it is there");
    let wal = std::fs::read(server.data_dir().join("slipway.db-wal")).unwrap_or_default();
    for secret in ["sesame-open-up", owner.password.as_str(), owner.token.as_str()] {
        let is_in = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!is_in(&stored) && !is_in(&wal), "the database contains '{secret}'");
    }
}
