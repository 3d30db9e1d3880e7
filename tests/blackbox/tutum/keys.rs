//! Who is calling: keys, passwords, accounts (spec §2).

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, KeyKind, Slipway, Tutum, User};

/// Asks with this `Authorization`, or without.
async fn ask(server: &Slipway, method: Method, path: &str, authorization: &str) -> Answer {
    let request = server.http().request(method, format!("http://{}{path}", server.addresses().api));
    let request = if authorization.is_empty() { request } else { request.header("Authorization", authorization) };
    Answer::to(request, format!("{path} with '{authorization}'")).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn basic(server: &Slipway, name: &str, password: &str) -> Answer {
    let request = server.http().get(format!("http://{}/api/v1/auth/", server.addresses().api));
    Answer::to(request.basic_auth(name, Some(password)), "GET /auth/").await.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn whoever_has_no_good_key_learns_nothing() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (bob, eve) = (Tutum::of(&owner).await, Tutum::of(&server.stranger().await).await);
    let good = format!("ApiKey {}:{}", bob.name, bob.key);
    for authorization in [&good, &good.replace("ApiKey", "apikey"), &good.replace("ApiKey", "APIKEY")] {
        ask(&server, Method::GET, "/api/v1/application/", authorization).await.expect(200);
    }
    let mut refusals: Vec<Value> = Vec::new();
    for wrong in [
        String::new(),
        "ApiKey".to_owned(),
        format!("ApiKey {}", bob.key),
        format!("ApiKey {}:", bob.name),
        format!("ApiKey :{}", bob.key),
        format!("ApiKey {}:{}", bob.name, eve.key),
        format!("ApiKey {}:{}", eve.name, bob.key),
        format!("ApiKey nobody:{}", bob.key),
        format!("ApiKey {}:{}x", bob.name, bob.key),
        format!("Token {}:{}", bob.name, bob.key),
        format!("token {}", owner.token),
        format!("ApiKey {}:{}", bob.name, owner.token),
    ] {
        // Before it is looked at whether there is anything, and what it can do.
        for (method, path) in [
            (Method::GET, "/api/v1/application/"),
            (Method::GET, "/api/v1/nothing/"),
            (Method::PUT, "/api/v1/application/"),
            (Method::POST, "/api/v1/container/x/start/"),
        ] {
            refusals.push(ask(&server, method, path, &wrong).await.expect(401).json());
        }
    }
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "all alike: {refusals:?}");
    // Nor is a key a token.
    ask(&server, Method::GET, "/v1/apps", &format!("token {}", bob.key)).await.expect(401);
    ask(&server, Method::GET, &format!("/api/v1/application/?username={}&api_key={}", bob.name, bob.key), "")
        .await
        .expect(401);
    server.stop().await;
    server.change_rows("UPDATE users SET is_active = 0 WHERE username = 'owner'").await;
    server.restart().await;
    ask(&server, Method::GET, "/api/v1/application/", &good).await.expect(401);
    basic(&server, &bob.name, &owner.password).await.expect(401);
}

#[tokio::test]
async fn a_password_yields_keys_and_twenty_of_them_are_good() {
    let server = Slipway::start().await;
    server.admin().await;
    let bob = User::register(&server, "bob", KeyKind::Ed25519).await;
    let first = Tutum::of(&bob).await;
    let answer = basic(&server, "bob", &bob.password).await.expect(200).json();
    let meta = json!({"limit": 25, "next": null, "offset": 0, "previous": null, "total_count": 1});
    assert_eq!(answer["meta"], meta);
    let key = answer["objects"][0]["key"].as_str().expect("a key").to_owned();
    assert!(key.len() == 40 && key.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase()), "{key}");
    assert_eq!(answer["objects"][0]["username"], "bob");
    // The address is that of all in these tests, so it is nobody's.
    basic(&server, "someone@example.com", &bob.password).await.expect(401);
    let register =
        json!({"username": "zoe", "password1": "pw of zoe", "password2": "pw of zoe", "email": "zoe@example.com"});
    let request = server.http().post(format!("http://{}/api/v1/register/", server.addresses().api)).json(&register);
    Answer::to(request, "register").await.expect("an answer").expect(201);
    let by_mail = basic(&server, "zoe@example.com", "pw of zoe").await.expect(200).json();
    assert_eq!(by_mail["objects"][0]["username"], "zoe");

    // Two so far; eighteen more leave the first one good, and one more does not.
    server.cli(&["user", "api-key", "bob"], &[]).await.succeeded();
    for _ in 0..17 {
        basic(&server, "bob", &bob.password).await.expect(200);
    }
    first.get("/application/").await.expect(200);
    basic(&server, "bob", &bob.password).await.expect(200);
    first.get("/application/").await.expect(401);
    Tutum { key, ..Tutum::of(&bob).await }.get("/application/").await.expect(401);
    server.cli(&["user", "api-key", "nobody"], &[]).await.failed().says(&["user 'nobody' does not exist"]);
    let stored = server.rows("SELECT digest FROM api_keys").await;
    assert_eq!(stored.len(), 21, "bob's twenty, and zoe's");
    let last = Tutum::of(&bob).await;
    assert!(!stored.contains(&last.key));
    bob.delete("/auth/cancel").await.expect(204);
    last.get("/application/").await.expect(401);
    assert_eq!(server.rows("SELECT digest FROM api_keys").await.len(), 1);
}

#[tokio::test]
async fn a_key_from_the_command_line_is_as_good() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let output = server.cli(&["user", "api-key", &owner.name], &[]).await.succeeded().output();
    let key = output.lines().last().expect("it prints the key").to_owned();
    assert_eq!(key.len(), 40, "{output}");
    Tutum { server: &server, name: owner.name.clone(), key }.get("/application/").await.expect(200);
}

#[tokio::test]
async fn guessing_passwords_gets_slow() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let mut throttled = None;
    for _ in 0..8 {
        let answer = basic(&server, &owner.name, "wrong").await;
        if answer.status == 429 {
            throttled = Some(answer);
            break;
        }
        answer.expect(401);
    }
    let throttled = throttled.expect("too many wrong passwords");
    assert!(throttled.header("Retry-After").parse::<u32>().is_ok_and(|seconds| seconds > 0));
    assert!(throttled.json()["error"].is_string());
    basic(&server, &owner.name, &owner.password).await.expect(429);
    // It is one count, whichever door is asked.
    let credentials = [("username", owner.name.as_str()), ("password", &owner.password)];
    owner.form("/auth/login", &credentials).await.expect(429);
}

#[tokio::test]
async fn registration_is_as_open_as_the_server() {
    let server = Slipway::start().await;
    server.admin().await;
    let register = async |body: Value| {
        let request = server.http().post(format!("http://{}/api/v1/register/", server.addresses().api)).json(&body);
        Answer::to(request, "POST /register/").await.unwrap_or_else(|error| panic!("{error}"))
    };
    let zoe = json!({"username": "zoe", "password1": "a", "password2": "a", "email": "zoe@example.com"});
    let made = register(zoe.clone()).await.expect(201).json();
    assert_eq!(made, json!({"username": "zoe", "email": "zoe@example.com"}));
    for (member, value) in [
        ("username", json!("zoe")),
        ("username", json!("no spaces")),
        ("username", json!(null)),
        ("password1", json!("")),
        ("password2", json!("b")),
        ("email", json!("nowhere")),
        ("email", json!(5)),
    ] {
        let mut body = zoe.clone();
        body["username"] = json!("other");
        body[member] = value;
        let answer = register(body.clone()).await.expect(400).json();
        assert!(answer["register"][member][0].is_string(), "{body}: {answer}");
    }
    server.stop().await;
    server.restart_with(crate::support::Options::default().env("SLIPWAY_REGISTRATION", "closed")).await;
    let mut body = zoe;
    body["username"] = json!("other");
    let request = server.http().post(format!("http://{}/api/v1/register/", server.addresses().api)).json(&body);
    Answer::to(request, "POST /register/").await.expect("an answer").expect(400);
}
