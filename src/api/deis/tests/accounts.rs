//! Register, login, tokens, keys.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::World;
use crate::model::Registration;
use crate::platform::users::new_setup_token;

/// The first words of a public key line.
const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICBUqV8HliiDHbeXtvjNcNeIzopO+Z2XZxXFu1fg1KoL";
const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHj4PlE3KMNJ3KBDo8APain2phjUhnSFem6KiwfBJmL2INXyoeecl29fSPbmMgBvfw3kGasvUQh/JgxIjOKirO0=";

#[tokio::test]
async fn registering_answers_with_the_whole_user_but_never_the_password() {
    let world = World::new().await;
    let body = json!({"username": "bob", "password": "opensesame", "email": "bob@example.com", "first_name": "Bob",
        "last_name": "Jones", "is_superuser": false, "is_staff": false});
    let answer = world.post("", "/v1/auth/register", body).await;
    assert_eq!(answer.status, 201);
    assert!(!answer.text.contains("opensesame"));
    let mut user = answer.json();
    let user = user.as_object_mut().unwrap();
    let joined = user.remove("date_joined").unwrap();
    assert_eq!(user.remove("last_login"), Some(joined.clone()));
    assert!(joined.as_str().unwrap().ends_with('Z'));
    let expect = json!({"id": 1, "username": "bob", "email": "bob@example.com", "first_name": "Bob", "last_name": "Jones",
        "is_superuser": true, "is_staff": true, "is_active": true, "groups": [], "user_permissions": []});
    assert_eq!(json!(user), expect);
    let second =
        world.post("", "/v1/auth/register/", json!({"username": "eve", "password": "x", "is_superuser": true})).await;
    assert_eq!(second.status, 201);
    assert_eq!((second.json()["id"].clone(), second.json()["is_superuser"].clone()), (json!(2), json!(false)));
}

#[tokio::test]
async fn registering_reports_every_bad_field_at_once() {
    let world = World::new().await;
    let check = async |body, expect| world.post("", "/v1/auth/register", body).await.is(400, expect);
    check(json!({}), json!({"username": ["This field is required."], "password": ["This field is required."]})).await;
    let bad = json!({"username": "a b", "password": "", "email": "x", "first_name": "n".repeat(31), "last_name": null});
    check(
        bad,
        json!({
            "username": ["Enter a valid username."],
            "password": ["This field may not be blank."],
            "email": ["Enter a valid email address."],
            "first_name": ["Ensure this field has no more than 30 characters."],
            "last_name": ["This field may not be null."],
        }),
    )
    .await;
    let long = json!({"username": "u".repeat(31), "password": "x"});
    check(long, json!({"username": ["Ensure this field has no more than 30 characters."]})).await;
    world.user("bob").await;
    check(json!({"username": "bob", "password": "x"}), json!({"username": ["This field must be unique."]})).await;
}

#[tokio::test]
async fn registration_can_be_closed() {
    let forbidden = "registration is not open on this server; ask its administrator for an account, who types: slipway \
                     user create NAME";
    let world = World::with(Registration::AdminOnly).await;
    let admin = world.user("admin").await;
    let eve = json!({"username": "eve", "password": "x"});
    world.post("", "/v1/auth/register", eve.clone()).await.is_detail(403, forbidden);
    assert_eq!(world.post(&admin, "/v1/auth/register", eve).await.status, 201);
    let world = World::with(Registration::Closed).await;
    let admin = world.user("admin").await;
    let answer = world.post(&admin, "/v1/auth/register", json!({"username": "eve", "password": "x"})).await;
    answer.is_detail(403, forbidden);
}

/// Both find no account when they ask, and one of them is second when its password is hashed.
#[tokio::test]
async fn of_two_who_are_first_at_once_one_is() {
    let world = World::with(Registration::Closed).await;
    let ask =
        async |name: &str| world.post("", "/v1/auth/register", json!({"username": name, "password": "x"})).await.status;
    let mut statuses: [u16; 2] = tokio::join!(ask("alice"), ask("mallory")).into();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 403]);
}

#[tokio::test]
async fn logging_in_yields_the_same_token_every_time() {
    let world = World::new().await;
    let token = world.user("bob").await;
    assert_eq!(token.len(), 40);
    assert!(token.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
    for path in ["/v1/auth/login/", "/v1/auth/login"] {
        let answer = world.post("0123", path, json!({"username": "bob", "password": "opensesame"})).await;
        answer.is(200, json!({"token": token}));
    }
    let wrong = json!({"non_field_errors": ["Unable to log in with provided credentials."]});
    world.form("/v1/auth/login/", "username=bob&password=wrong").await.is(400, wrong.clone());
    world.form("/v1/auth/login/", "username=nobody&password=opensesame").await.is(400, wrong);
    let missing = json!({"password": ["This field is required."]});
    world.form("/v1/auth/login/", "username=bob").await.is(400, missing);
}

#[tokio::test]
async fn an_inactive_account_is_shut_out() {
    let world = World::new().await;
    let token = world.user("bob").await;
    sqlx::query("UPDATE users SET is_active = 0").execute(world.store.pool()).await.unwrap();
    world.get(&token, "/v1/apps").await.is_detail(401, "User inactive or deleted");
    let login = world.form("/v1/auth/login/", "username=bob&password=opensesame").await;
    login.is(400, json!({"non_field_errors": ["User account is disabled."]}));
}

#[tokio::test]
async fn each_flaw_of_a_token_has_its_text() {
    let world = World::new().await;
    let token = world.user("bob").await;
    let ask = async |header: &str| {
        world.send(Request::get("/v1/apps").header("Authorization", header).body(Body::empty()).unwrap()).await
    };
    for good in [format!("token {token}"), format!("Token {token}"), format!("TOKEN {token}")] {
        assert_eq!(ask(&good).await.status, 200, "{good}");
    }
    for (header, detail) in [
        ("Basic abc", "Authentication credentials were not provided."),
        ("token 0123", "Invalid token"),
        ("token", "Invalid token header. No credentials provided."),
        ("token a b", "Invalid token header. Token string should not contain spaces."),
    ] {
        let answer = ask(header).await;
        answer.is_detail(401, detail);
        assert_eq!(answer.header("WWW-Authenticate"), "Token");
    }
    let none = world.get("", "/v1/apps").await;
    none.is_detail(401, "Authentication credentials were not provided.");
    assert_eq!(none.header("WWW-Authenticate"), "Token");
}

#[tokio::test]
async fn keys_come_and_go_by_their_id() {
    let world = World::new().await;
    let token = world.user("bob").await;
    let added = world.post(&token, "/v1/keys", json!({"id": "me@lap top/1", "public": ED25519})).await;
    assert_eq!(added.status, 201);
    let key = added.json();
    assert_eq!((&key["id"], &key["owner"], &key["public"]), (&json!("me@lap top/1"), &json!("bob"), &json!(ED25519)));
    assert_eq!((key["uuid"].as_str().unwrap().len(), key["created"] == key["updated"]), (36, true));
    assert!(key["created"].as_str().unwrap().ends_with("UTC"));
    let list = world.get(&token, "/v1/keys").await;
    list.is(200, json!({"count": 1, "next": null, "previous": null, "results": [key]}));
    for path in ["/v1/keys/me@lap%20top/1", "/v1/keys/me@lap%20top/1/", "/v1/keys/me%40lap%20top%2F1"] {
        world.get(&token, path).await.is(200, key.clone());
    }
    let other = world.user("eve").await;
    world.get(&other, "/v1/keys/me@lap%20top/1").await.is_detail(404, "Not found");
    world.delete(&other, "/v1/keys/me@lap%20top/1").await.is_detail(404, "Not found");
    world.delete(&token, "/v1/keys/me@lap%20top/1").await.is_empty(204);
    world.delete(&token, "/v1/keys/me@lap%20top/1").await.is_detail(404, "Not found");
    world.get(&token, "/v1/keys/%00").await.is_detail(404, "Not found");
}

#[tokio::test]
async fn keys_are_checked() {
    let world = World::new().await;
    let token = world.user("bob").await;
    let check = async |body, expect| world.post(&token, "/v1/keys", body).await.is(400, expect);
    let required = "This field is required.";
    check(json!({}), json!({"id": [required], "public": [required]})).await;
    check(json!({"id": "", "public": ED25519}), json!({"id": ["This field may not be blank."]})).await;
    let long = json!({"id": ["Ensure this field has no more than 128 characters."]});
    check(json!({"id": "k".repeat(129), "public": ED25519}), long).await;
    check(json!({"id": "a/", "public": ED25519}), json!({"id": ["A key id may not end with a slash."]})).await;
    let nonsense = world.post(&token, "/v1/keys", json!({"id": "k", "public": "ssh-rsa"})).await;
    assert_eq!(nonsense.status, 400);
    assert!(nonsense.json()["public"][0].as_str().unwrap().contains("not an OpenSSH public key"), "{nonsense:?}");
    assert_eq!(world.post(&token, "/v1/keys", json!({"id": "k", "public": ED25519})).await.status, 201);
    let unique = "This field must be unique.";
    check(json!({"id": "k", "public": ECDSA}), json!({"id": [unique]})).await;
    let again = format!("{ED25519} another comment");
    check(json!({"id": "k2", "public": again}), json!({"public": [unique]})).await;
}

#[tokio::test]
async fn a_file_is_one_key_whoever_wrote_it() {
    let world = World::new().await;
    let token = world.user("bob").await;
    let add = async |public: &str| world.post(&token, "/v1/keys", json!({"id": "k", "public": public})).await;
    let both = add(&format!("{ED25519} one\n{ECDSA} two\n")).await;
    assert_eq!(both.status, 400);
    assert!(both.json()["public"][0].as_str().unwrap().contains("There are 2 keys in this text"), "{both:?}");
    let blob = ED25519.split(' ').nth(1).unwrap();
    let putty =
        format!("---- BEGIN SSH2 PUBLIC KEY ----\r\nComment: \"home\"\r\n{blob}\r\n---- END SSH2 PUBLIC KEY ----\r\n");
    let added = add(&putty).await;
    assert_eq!((added.status, &added.json()["public"]), (201, &json!(format!("{ED25519} home"))));
    world.delete(&token, "/v1/keys/k").await.is_empty(204);
    let on_token = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAICFo/k5LU8863u66YC9eUO2170QduohPURkQnbLa\
                    /dczAAAABHNzaDo= token";
    let added = add(on_token).await;
    assert_eq!((added.status, &added.json()["public"]), (201, &json!(on_token)));
    assert_eq!(world.get(&token, "/v1/keys").await.json()["results"][0]["public"], on_token);
}

/// For a key without a comment the clients send type and blob with the file's newline.
#[tokio::test]
async fn a_key_may_end_in_a_newline() {
    let world = World::new().await;
    let token = world.user("bob").await;
    let added = world.post(&token, "/v1/keys", json!({"id": 5, "public": format!("{ECDSA}\n")})).await;
    assert_eq!(added.status, 201, "{added:?}");
    assert_eq!((&added.json()["id"], &added.json()["public"]), (&json!("5"), &json!(ECDSA)));
}

#[tokio::test]
async fn the_first_account_needs_the_setup_token_where_strangers_may_ask() {
    let world = World::new().await;
    let register = async |body: Value| {
        let request = Request::post("/v1/auth/register").header("Content-Type", "application/json");
        world.send_through_the_router(request.body(body.to_string().into()).unwrap()).await
    };
    let token = new_setup_token(&world.store).await.unwrap().unwrap();
    let mallory = json!({"username": "mallory", "password": "x"});
    for wrong in [json!(""), json!("0123")] {
        let mut body = mallory.clone();
        body["setup_token"] = wrong;
        let refused = register(body).await;
        assert_eq!(refused.status, 403, "{}", refused.text);
        assert!(refused.text.contains("slipway user setup-token"), "{}", refused.text);
    }
    let fresh = new_setup_token(&world.store).await.unwrap().unwrap();
    let with = |name: &str, token: &str| json!({"username": name, "password": "x", "setup_token": token});
    assert_eq!(register(with("mallory", &token)).await.status, 403, "another one was made since");
    let first = register(with("alice", &fresh)).await;
    assert_eq!((first.status, &first.json()["is_superuser"]), (201, &json!(true)));
    let next = register(with("mallory", &fresh)).await;
    assert_eq!((next.status, &next.json()["is_superuser"]), (201, &json!(false)));
    assert_eq!(new_setup_token(&world.store).await.unwrap(), None);
}
