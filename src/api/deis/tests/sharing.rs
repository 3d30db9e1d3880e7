//! Collaborators, and apps that change hands.

use serde_json::{Value, json};

use super::World;

const FORBIDDEN: &str = "You do not have permission to perform this action.";
const PERMS: &str = "/v1/apps/hello/perms";

#[tokio::test]
async fn a_collaborator_does_everything_but_delete_share_and_give_away() {
    let world = World::new().await;
    let admin = world.user("admin").await;
    let (owner, bob) = (world.running("owner", "hello").await, world.user("bob").await);
    world.get(&bob, "/v1/apps/hello").await.is_detail(404, "Not found");
    assert_eq!(world.get(&bob, "/v1/apps").await.json()["count"], 0);
    world.get(&owner, PERMS).await.is(200, json!({"users": []}));
    world.post(&owner, PERMS, json!({"username": "bob"})).await.is_empty(201);
    world.post(&owner, PERMS, json!({"username": "bob"})).await.is_empty(201);
    world.get(&bob, PERMS).await.is(200, json!({"users": ["bob"]}));

    let list = world.get(&bob, "/v1/apps").await.json();
    assert_eq!((&list["count"], &list["results"][0]["owner"]), (&json!(1), &json!("owner")));
    assert_eq!(world.post(&bob, "/v1/apps/hello/config", json!({"values": {"A": 1}})).await.status, 201);
    world.post(&bob, "/v1/apps/hello/scale", json!({"web": 2})).await.is_empty(204);
    let release = world.get(&bob, "/v1/apps/hello/releases/v3").await.json();
    assert_eq!((&release["owner"], &release["summary"]), (&json!("bob"), &json!("bob added A")));
    world.post(&bob, PERMS, json!({"username": "bob"})).await.is_detail(403, FORBIDDEN);
    world.delete(&bob, "/v1/apps/hello/perms/bob").await.is_detail(403, FORBIDDEN);
    world.delete(&bob, "/v1/apps/hello").await.is_detail(403, FORBIDDEN);
    world.post(&bob, "/v1/apps/hello", json!({"owner": "bob"})).await.is_detail(403, FORBIDDEN);

    let logs: String = serde_json::from_str(&world.get(&bob, "/v1/apps/hello/logs").await.text).unwrap();
    assert_eq!(logs.matches("deis[api]: User bob was granted access to hello\n").count(), 1, "{logs}");
    world.delete(&admin, "/v1/apps/hello/perms/bob").await.is_empty(204);
    world.get(&bob, "/v1/apps/hello").await.is_detail(404, "Not found");
    world.get(&bob, PERMS).await.is_detail(404, "Not found");
    let logs: String = serde_json::from_str(&world.get(&owner, "/v1/apps/hello/logs").await.text).unwrap();
    assert!(logs.contains("deis[api]: User bob was revoked access to hello\n"), "{logs}");
}

#[tokio::test]
async fn shares_are_checked() {
    let world = World::new().await;
    let owner = world.app("owner", "hello").await;
    world.user("bob").await;
    let check = async |body: Value, expect: Value| world.post(&owner, PERMS, body).await.is(400, expect);
    check(json!({}), json!({"username": ["This field is required."]})).await;
    check(json!({"username": ""}), json!({"username": ["This field may not be blank."]})).await;
    world.post(&owner, PERMS, json!({"username": "nobody"})).await.is_detail(404, "Not found");
    world.delete(&owner, "/v1/apps/hello/perms/nobody").await.is_detail(404, "Not found");
    world.delete(&owner, "/v1/apps/hello/perms/bob").await.is_detail(403, FORBIDDEN);
    world.get(&owner, "/v1/apps/hello/perms/bob").await.is_detail(405, "Method 'GET' not allowed.");
    world.get(&owner, "/v1/apps/none/perms").await.is_detail(404, "Not found");
}

#[tokio::test]
async fn an_app_changes_hands() {
    let world = World::new().await;
    world.user("admin").await;
    let (owner, bob) = (world.app("owner", "hello").await, world.user("bob").await);
    let give = async |token: &str, body: Value| world.post(token, "/v1/apps/hello", body).await;
    give(&bob, json!({"owner": "bob"})).await.is_detail(404, "Not found");
    give(&owner, json!({})).await.is(400, json!({"owner": ["This field is required."]}));
    give(&owner, json!({"owner": "nobody"})).await.is_detail(404, "Not found");
    let app = give(&owner, json!({"owner": "bob"})).await;
    assert_eq!((app.status, &app.json()["owner"]), (200, &json!("bob")));
    world.get(&owner, "/v1/apps/hello").await.is_detail(404, "Not found");
    world.get(&bob, "/v1/apps/hello").await.is(200, app.json());
    world.delete(&bob, "/v1/apps/hello").await.is_empty(204);
}
