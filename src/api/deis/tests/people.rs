//! Passwords, tokens, the end of an account, administrators, and what too many wrong passwords lead to.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::World;

const FORBIDDEN: &str = "You do not have permission to perform this action.";
const PASSWD: &str = "/v1/auth/passwd";

async fn log_in(world: &World, user: &str, password: &str) -> super::Answer {
    world.form("/v1/auth/login/", &format!("username={user}&password={password}")).await
}

#[tokio::test]
async fn another_password_ends_the_token_of_the_one_before() {
    let world = World::new().await;
    let token = world.user("bob").await;
    let body = json!({"password": "opensesame", "new_password": "second"});
    world.post(&token, PASSWD, body.clone()).await.is(200, json!({"status": "password set"}));
    world.get(&token, "/v1/apps").await.is_detail(401, "Invalid token");
    let again = log_in(&world, "bob", "second").await.json()["token"].as_str().expect("a token").to_owned();
    assert_ne!(again, token);
    log_in(&world, "bob", "second").await.is(200, json!({"token": again}));
    let token = again;
    assert_eq!(log_in(&world, "bob", "opensesame").await.status, 400);
    world.post(&token, PASSWD, body).await.is_detail(400, "Current password does not match");
    let required = ["This field is required."];
    world.post(&token, PASSWD, json!({})).await.is(400, json!({"password": required, "new_password": required}));
    let blank = json!({"new_password": ["This field may not be blank."]});
    world.post(&token, PASSWD, json!({"password": "second", "new_password": ""})).await.is(400, blank);
    world.post("", PASSWD, json!({})).await.is_detail(401, "Authentication credentials were not provided.");
}

#[tokio::test]
async fn an_administrator_sets_somebodys_password_without_the_old_one() {
    let world = World::new().await;
    let (admin, bob) = (world.user("admin").await, world.user("bob").await);
    let body = json!({"username": "bob", "new_password": "second"});
    world.post(&admin, PASSWD, body.clone()).await.is(200, json!({"status": "password set"}));
    world.get(&bob, "/v1/apps").await.is_detail(401, "Invalid token");
    let bob = log_in(&world, "bob", "second").await.json()["token"].as_str().expect("a token").to_owned();
    let other = json!({"username": "admin", "new_password": "mine", "password": "second"});
    world.post(&bob, PASSWD, other).await.is_detail(403, FORBIDDEN);
    world.post(&admin, PASSWD, json!({"username": "nobody", "new_password": "x"})).await.is_detail(404, "Not found");
    let own = json!({"username": "bob", "password": "second", "new_password": "third"});
    world.post(&bob, PASSWD, own).await.is(200, json!({"status": "password set"}));
}

#[tokio::test]
async fn cancelling_an_account_ends_its_apps_keys_and_name() {
    let world = World::new().await;
    let admin = world.user("admin").await;
    let bob = world.running("bob", "hello").await;
    world.post(&bob, "/v1/apps", json!({"id": "second"})).await;
    world.app("eve", "shared").await;
    let share = world.post(&admin, "/v1/apps/shared/perms", json!({"username": "bob"})).await;
    share.is_empty(201);
    assert_eq!(world.post(&bob, "/v1/apps/shared/config", json!({"values": {"A": 1}})).await.status, 201);

    world.delete(&bob, "/v1/auth/cancel").await.is_empty(204);
    world.get(&bob, "/v1/apps").await.is_detail(401, "Invalid token");
    assert!(world.engine.is_empty(), "containers of its apps are gone");
    assert_eq!(world.get(&admin, "/v1/apps").await.json()["count"], 1);
    let releases = world.get(&admin, "/v1/apps/shared/releases").await.json();
    let newest = &releases["results"][0];
    assert_eq!((&newest["summary"], &newest["owner"]), (&json!("bob added A"), &json!("eve")), "history stays");
    world.get(&admin, "/v1/apps/shared/perms").await.is(200, json!({"users": []}));

    assert_ne!(world.user("bob").await, bob, "the name is free and the token another");
    assert_eq!(world.post(&admin, "/v1/apps", json!({"id": "hello"})).await.status, 201);
}

#[tokio::test]
async fn an_account_whose_app_cannot_be_destroyed_stays() {
    let world = World::new().await;
    let bob = world.running("bob", "hello").await;
    world.engine.go_away();
    assert_eq!(world.delete(&bob, "/v1/auth/cancel").await.status, 503);
    assert_eq!(world.get(&bob, "/v1/keys").await.status, 200);
    world.engine.come_back();
    world.delete(&bob, "/v1/auth/cancel").await.is_empty(204);
}

#[tokio::test]
async fn a_server_with_accounts_keeps_an_administrator_and_gets_none_by_registration() {
    let world = World::new().await;
    let first = world.user("first").await;
    let second = world.user("second").await;
    let only = "first is the only administrator of this server: make another account one first, or type `slipway user \
                create NAME --admin` on the host";
    world.delete(&first, "/v1/auth/cancel").await.is_detail(409, only);
    world.delete(&first, "/v1/admin/perms/first").await.is_detail(409, only);
    world.post(&first, "/v1/admin/perms", json!({"username": "second"})).await.is_empty(201);
    world.delete(&first, "/v1/auth/cancel").await.is_empty(204);
    let third = world.post("", "/v1/auth/register", json!({"username": "third", "password": "x"})).await.json();
    assert_eq!(third["is_superuser"], false);
    assert_eq!(world.delete(&second, "/v1/admin/perms/second").await.status, 409);
    // Whoever is alone may go: the server is then as it was at first.
    let world = World::new().await;
    let only = world.user("only").await;
    world.delete(&only, "/v1/auth/cancel").await.is_empty(204);
}

#[tokio::test]
async fn a_new_token_ends_the_old_one() {
    let world = World::new().await;
    let (admin, bob) = (world.user("admin").await, world.user("bob").await);
    let renew = async |token: &str, body: Value| world.post(token, "/v1/auth/tokens/", body).await;
    let answer = renew(&bob, json!({})).await;
    let fresh = answer.json()["token"].as_str().unwrap().to_owned();
    assert_eq!((answer.status, fresh.len()), (200, 40));
    world.get(&bob, "/v1/apps").await.is_detail(401, "Invalid token");
    assert_eq!(world.get(&fresh, "/v1/apps").await.status, 200);
    log_in(&world, "bob", "opensesame").await.is(200, json!({"token": fresh}));

    renew(&fresh, json!({"username": "admin"})).await.is_detail(403, FORBIDDEN);
    renew(&fresh, json!({"all": true})).await.is_detail(403, FORBIDDEN);
    renew(&fresh, json!({"all": "perhaps"})).await.is(400, json!({"all": ["Must be a valid boolean."]}));
    let of_bob = renew(&admin, json!({"username": "bob"})).await;
    log_in(&world, "bob", "opensesame").await.is(200, of_bob.json());
    renew(&admin, json!({"username": "nobody"})).await.is_detail(404, "Not found");
    let own = renew(&admin, json!({"all": "true"})).await;
    assert_eq!(world.get(own.json()["token"].as_str().unwrap(), "/v1/apps").await.status, 200);
    assert_ne!(log_in(&world, "bob", "opensesame").await.json(), of_bob.json());
}

#[tokio::test]
async fn administrators_are_made_and_unmade_by_administrators() {
    let world = World::new().await;
    let (admin, bob) = (world.user("admin").await, world.user("bob").await);
    const PERMS: &str = "/v1/admin/perms";
    let entry = |name: &str| json!({"username": name, "is_superuser": true});
    let page = |entries: &[Value]| json!({"count": entries.len(), "next": null, "previous": null, "results": entries});
    world.get(&admin, PERMS).await.is(200, page(&[entry("admin")]));
    world.post(&admin, PERMS, json!({"username": "bob"})).await.is_empty(201);
    world.post(&admin, PERMS, json!({"username": "bob"})).await.is_empty(201);
    world.get(&bob, PERMS).await.is(200, page(&[entry("admin"), entry("bob")]));
    world.delete(&bob, "/v1/admin/perms/admin").await.is_empty(204);
    world.delete(&bob, "/v1/admin/perms/admin").await.is_empty(204);
    world.delete(&bob, "/v1/admin/perms/nobody").await.is_detail(404, "Not found");
    world.post(&bob, PERMS, json!({"username": "nobody"})).await.is_detail(404, "Not found");
    world.post(&bob, PERMS, json!({})).await.is(400, json!({"username": ["This field is required."]}));
    for (method, path) in [("GET", PERMS), ("POST", PERMS), ("DELETE", "/v1/admin/perms/bob"), ("GET", "/v1/users")] {
        world.ask(&admin, method, path, "{}").await.is_detail(403, FORBIDDEN);
    }
    let users = world.get(&bob, "/v1/users").await.json();
    assert_eq!((&users["count"], &users["results"][0]["username"]), (&json!(2), &json!("admin")));
    assert_eq!(users["results"][1]["is_superuser"], true);
    assert!(!users.to_string().contains("argon2"));
}

#[tokio::test]
async fn guessing_is_slowed_down_per_account_and_per_address() {
    let world = World::new().await;
    let bob = world.user("bob").await;
    world.user("eve").await;
    let guess = async |user: &str, password: &str, from: &str| {
        let request = Request::post("/v1/auth/login/").header("Content-Type", "application/x-www-form-urlencoded");
        let body = Body::from(format!("username={user}&password={password}"));
        world.send(request.header("X-Forwarded-For", from).body(body).unwrap()).await
    };
    for n in 0..6 {
        assert_eq!(guess("bob", "wrong", &format!("192.0.2.{n}")).await.status, 400);
    }
    let refused = guess("bob", "opensesame", "192.0.2.99").await;
    refused.is_detail(429, "Request was throttled. Expected available in 1 second.");
    assert_eq!(refused.header("Retry-After"), "1");
    let passwd = json!({"password": "opensesame", "new_password": "x"}).to_string();
    let request = Request::post(PASSWD).header("Authorization", format!("token {bob}"));
    let request = request.header("Content-Type", "application/json").header("X-Forwarded-For", "192.0.2.98");
    let refused = world.send(request.body(Body::from(passwd)).unwrap()).await;
    assert_eq!(refused.status, 429, "it would tell whether the password is right");
    assert_eq!(
        log_in(&world, "bob", "opensesame").await.status,
        200,
        "where bob signed in before he is not locked out"
    );
    assert_eq!(world.get(&bob, "/v1/apps").await.status, 200, "a token goes on");
    assert_eq!(guess("eve", "opensesame", "192.0.2.1").await.status, 200, "others go on");

    for n in 0..21 {
        assert_eq!(guess(&format!("nobody{n}"), "wrong", "198.51.100.7").await.status, 400);
    }
    assert_eq!(guess("eve", "opensesame", "198.51.100.7").await.status, 429);
    assert_eq!(guess("eve", "opensesame", "198.51.100.8").await.status, 200);
}
