//! Create, list, show, destroy.

use serde_json::{Value, json};

use super::{IMAGE, World};

#[tokio::test]
async fn an_app_is_created_with_or_without_a_name() {
    let world = World::new().await;
    let token = world.user("bob").await;
    let answer = world.post(&token, "/v1/apps", json!({"id": "hello", "structure": {"web": 5}})).await;
    assert_eq!(answer.status, 201);
    let app = answer.json();
    assert_eq!(app["uuid"].as_str().unwrap().len(), 36);
    assert!(app["created"].as_str().unwrap().ends_with("UTC"));
    assert_eq!(app["created"], app["updated"]);
    assert_eq!(
        (&app["id"], &app["owner"], &app["url"], &app["structure"]),
        (&json!("hello"), &json!("bob"), &json!("hello.example.com"), &json!({}))
    );
    assert_eq!(app.as_object().unwrap().len(), 7, "{app}");
    world.get(&token, "/v1/apps/hello").await.is(200, app.clone());
    let generated = world.ask(&token, "POST", "/v1/apps", "").await;
    assert_eq!(generated.status, 201);
    let name = generated.json()["id"].as_str().unwrap().to_owned();
    let (adjective, noun) = name.split_once('-').unwrap();
    assert!(format!("{adjective}{noun}").bytes().all(|b| b.is_ascii_lowercase()), "{name}");
    let listed = world.get(&token, "/v1/apps/").await.json();
    assert_eq!(listed["count"], 2);
    assert_eq!(listed["results"][0], app);
    assert_eq!(listed["results"][1]["id"], json!(name));
}

#[tokio::test]
async fn bad_names_get_the_texts_of_deis() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    let check = async |id: Value, expect: &[&str]| {
        let answer = world.post(&token, "/v1/apps", json!({"id": id})).await;
        answer.is(400, json!({"id": expect}));
    };
    let alphabet = "App IDs can only contain [a-z0-9-].";
    let slug = "Enter a valid 'slug' consisting of letters, numbers, underscores or hyphens.";
    check(json!("hello"), &["This field must be unique."]).await;
    check(json!("Hello"), &[alphabet]).await;
    check(json!("a_b"), &[alphabet]).await;
    check(json!("a.b"), &[alphabet, slug]).await;
    check(json!("a b"), &[alphabet, slug]).await;
    check(json!("a\n"), &[alphabet, slug]).await;
    check(json!(1.5), &["Not a valid string."]).await;
    check(json!("deis"), &["deis is a reserved name."]).await;
    check(json!("slipway"), &["slipway is a reserved name."]).await;
    check(json!("-x"), &["App IDs start and end with a letter or digit."]).await;
    check(json!(""), &["This field may not be blank."]).await;
    check(json!(null), &["This field may not be null."]).await;
    check(json!(["a"]), &["Not a valid string."]).await;
    check(json!("a".repeat(64)), &["Ensure this field has no more than 63 characters."]).await;
    let number = world.post(&token, "/v1/apps", json!({"id": 5})).await;
    assert_eq!((number.status, &number.json()["id"]), (201, &json!("5")));
}

#[tokio::test]
async fn others_see_nothing_of_an_app_and_administrators_everything() {
    let world = World::new().await;
    let admin = world.user("admin").await;
    let owner = world.app("bob", "hello").await;
    let stranger = world.user("eve").await;
    for (method, path) in [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/scale"),
        ("GET", "/logs"),
        ("GET", "/config"),
        ("POST", "/config"),
        ("GET", "/builds"),
        ("POST", "/builds"),
        ("GET", "/releases"),
        ("GET", "/releases/v1"),
        ("POST", "/releases/rollback"),
        ("GET", "/containers"),
        ("GET", "/containers/web"),
        ("GET", "/containers/web/1"),
    ] {
        let mine = format!("/v1/apps/hello{path}");
        world.ask(&stranger, method, &mine, "{}").await.is_detail(404, "Not found");
        world.ask("", method, &mine, "{}").await.is_detail(401, "Authentication credentials were not provided.");
        let nobodys = format!("/v1/apps/nobodys{path}");
        world.ask(&stranger, method, &nobodys, "{}").await.is_detail(404, "Not found");
    }
    assert_eq!(world.get(&stranger, "/v1/apps").await.json()["count"], 0);
    assert_eq!(world.get(&owner, "/v1/apps").await.json()["count"], 1);
    assert_eq!(world.get(&admin, "/v1/apps").await.json()["count"], 1);
    assert_eq!(world.get(&admin, "/v1/apps/hello/config").await.status, 200);
    for path in ["/v1/apps/Hello", "/v1/apps/a%00b", "/v1/apps/%ff", "/v1/apps/.."] {
        world.get(&admin, path).await.is_detail(404, "Not found");
    }
}

#[tokio::test]
async fn a_destroyed_app_is_gone_and_its_name_is_free() {
    let world = World::new().await;
    let token = world.running("bob", "hello").await;
    world.delete(&token, "/v1/apps/hello").await.is_empty(204);
    world.delete(&token, "/v1/apps/hello").await.is_detail(404, "Not found");
    world.get(&token, "/v1/apps/hello").await.is_detail(404, "Not found");
    assert_eq!(world.post(&token, "/v1/apps", json!({"id": "hello"})).await.status, 201);
    assert_eq!(world.get(&token, "/v1/apps/hello/releases").await.json()["count"], 1);
}

#[tokio::test]
async fn an_engine_that_is_away_is_said() {
    let world = World::new().await;
    let token = world.running("bob", "hello").await;
    world.engine.go_away();
    let answer = world.get(&token, "/v1/apps/hello/containers").await;
    answer.is_detail(503, "the container engine does not answer: connection refused");
    let answer = world.post(&token, "/v1/apps/hello/builds", json!({"image": IMAGE})).await;
    answer.is_detail(503, "the container engine does not answer: connection refused");
    assert_eq!(world.get(&token, "/v1/apps/hello/releases").await.json()["count"], 2);
}

#[tokio::test]
async fn structure_shows_counts_above_zero() {
    let world = World::new().await;
    let token = world.running("bob", "hello").await;
    assert_eq!(world.get(&token, "/v1/apps/hello").await.json()["structure"], json!({"web": 1}));
    world.post(&token, "/v1/apps/hello/scale", json!({"web": 0, "worker": 2})).await.is_empty(204);
    assert_eq!(world.get(&token, "/v1/apps/hello").await.json()["structure"], json!({"worker": 2}));
}
