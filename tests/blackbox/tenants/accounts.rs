//! Accounts: who gets one, who becomes administrator, who is locked out, what a password costs the others.

use std::os::unix::fs::PermissionsExt;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::alice_and_bob;
use crate::support::{Answer, Options, Slipway};

/// Asks the API as a stranger does, through the router.
async fn register_through_the_router(server: &Slipway, body: &Value) -> Answer {
    let request = server.http().post(format!("http://{}/v1/auth/register", server.addresses().http));
    let request = request.header("Host", "slipway.localhost").json(body);
    Answer::to(request, "POST register").await.expect("the router answers")
}

#[tokio::test]
async fn the_first_stranger_at_the_router_is_no_administrator() {
    let server = Slipway::start().await;
    let mallory = json!({"username": "mallory", "password": "x"});
    let refused = register_through_the_router(&server, &mallory).await.expect(403);
    assert!(refused.text.contains("setup token"), "{refused:?}");
    assert_eq!(server.rows("SELECT username FROM users").await, Vec::<String>::new());

    let log = server.log();
    let printed = log.lines().find_map(|line| line.strip_prefix("setup token for the first account")).expect(&log);
    let token = printed.rsplit(' ').next().expect("it ends with the token").to_owned();
    let with = |name: &str, token: &str| json!({"username": name, "password": "x", "setup_token": token});
    let first = register_through_the_router(&server, &with("operator", &token)).await.expect(201).json();
    assert_eq!(first["is_superuser"], true);
    let next = register_through_the_router(&server, &with("mallory", &token)).await.expect(201).json();
    assert_eq!(next["is_superuser"], false, "a token is good once");
    let none = server.cli(&["user", "setup-token"], &[]).await.failed();
    none.says(&["slipway user create NAME --admin"]);
}

#[tokio::test]
async fn nobody_registers_at_a_server_that_strangers_reach_unless_it_is_open() {
    let public = Options::default().env("SLIPWAY_HTTPS_ADDR", "0.0.0.0:0");
    let server = Slipway::start_with(public.clone()).await;
    server.admin().await;
    let bob = json!({"username": "bob", "password": "x"});
    let refused = register_through_the_router(&server, &bob).await.expect(403);
    assert!(refused.text.contains("slipway user create NAME"), "{refused:?}");
    server.stop().await;
    server.restart_with(public.env("SLIPWAY_REGISTRATION", "open")).await;
    register_through_the_router(&server, &bob).await.expect(201);
}

#[tokio::test]
async fn wrong_passwords_of_strangers_do_not_lock_out_whoever_signed_in_before() {
    let server = Slipway::start().await;
    let (alice, _bob) = alice_and_bob(&server).await;
    let login = async |address: &str, password: &str| {
        let request = server.http().post(format!("http://{}/v1/auth/login/", server.addresses().api));
        // As a proxy on this machine tells where a request is from.
        let request = request.header("X-Forwarded-For", address);
        let body = json!({"username": alice.name, "password": password});
        Answer::to(request.json(&body), "POST login").await.expect("an answer")
    };
    login("192.0.2.1", &alice.password).await.expect(200);
    for _ in 0..7 {
        login("198.51.100.9", "guess").await;
    }
    login("198.51.100.9", &alice.password).await.expect(429);
    login("192.0.2.1", &alice.password).await.expect(200);
}

#[tokio::test]
async fn others_on_the_host_read_nothing_of_a_data_directory_that_was_open() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    owner.create("web").await;
    server.stop().await;
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(server.data_dir(), open.clone()).expect("our own folder");
    std::fs::set_permissions(server.data_dir().parent().expect("it has one"), open).expect("our own folder");
    server.restart().await;
    for path in ["slipway.db", "secrets.key"] {
        let path = server.data_dir().join(path);
        assert!(path.exists(), "{}", path.display());
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "ls", "-l"]).arg(&path);
        let output = command.output().expect("util-linux is there");
        assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[tokio::test]
async fn a_flood_of_registrations_keeps_nobody_from_signing_in() {
    let server = Slipway::start().await;
    let (alice, _bob) = alice_and_bob(&server).await;
    let ask = async |path: &str, address: &str, body: Value| {
        let request = server.http().post(format!("http://{}{path}", server.addresses().api));
        // As a proxy on this machine tells where a request is from.
        let request = request.header("X-Forwarded-For", address).json(&body);
        Answer::to(request, path).await.expect("an answer").status
    };
    let flood = join_all((0..120).map(|n| {
        let account = json!({ "username": format!("flood{n}"), "password": "x" });
        ask("/v1/auth/register", ["198.51.100.1", "198.51.100.2"][n % 2], account)
    }));
    let sign_in = async {
        for _ in 0..10 {
            let body = json!({ "username": alice.name, "password": alice.password });
            assert_eq!(ask("/v1/auth/login/", "192.0.2.1", body).await, 200, "her own turn comes");
        }
    };
    let (flood, ()) = tokio::join!(flood, sign_in);
    let made = flood.iter().filter(|status| **status == 201).count();
    assert!(flood.iter().all(|status| matches!(status, 201 | 429)), "{flood:?}");
    assert!((1..=62).contains(&made), "{made} accounts, of two addresses");
    let there = server.rows("SELECT username FROM users WHERE username LIKE 'flood%'").await;
    assert_eq!(there.len(), made);
}

#[tokio::test]
async fn asking_for_names_that_are_taken_is_slowed_down() {
    let server = Slipway::start().await;
    let (alice, _bob) = alice_and_bob(&server).await;
    let body = json!({ "username": alice.name, "password": "x" });
    for n in 0..60 {
        match register_through_the_router(&server, &body).await {
            answer if answer.status == 429 => return assert!(n >= 20, "{n} is a few mistakes only"),
            answer => assert!(answer.expect(400).text.contains("must be unique")),
        };
    }
    panic!("names can be tried without end");
}
