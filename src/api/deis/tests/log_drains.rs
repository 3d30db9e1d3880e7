//! Add, list, remove log drains.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::World;

const DRAINS: &str = "/v1/apps/hello/log-drains";

#[tokio::test]
async fn drains_are_added_listed_and_removed_and_get_the_log() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    world.get(&token, DRAINS).await.is(200, json!({"count": 0, "next": null, "previous": null, "results": []}));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("syslog://{}", listener.local_addr().unwrap());
    let added = world.post(&token, DRAINS, json!({"url": url})).await;
    assert_eq!(added.status, 201, "{added:?}");
    let drain = added.json();
    assert_eq!((&drain["app"], &drain["url"]), (&json!("hello"), &json!(url)));
    assert_eq!(drain.as_object().unwrap().len(), 9, "{drain}");
    let (mut receiver, _) = timeout(Duration::from_secs(10), listener.accept()).await.expect("it connects").unwrap();
    world.post(&token, DRAINS, json!({"url": url})).await.is(400, json!({"url": ["This field must be unique."]}));
    let uuid = drain["uuid"].as_str().unwrap();
    let listed = world.get(&token, DRAINS).await.json();
    assert_eq!((&listed["count"], &listed["results"][0]["uuid"]), (&json!(1), &json!(uuid)));
    world.delete(&token, &format!("{DRAINS}/{uuid}")).await.is_empty(204);
    world.delete(&token, &format!("{DRAINS}/{uuid}")).await.is_detail(404, "Not found");
    world.delete(&token, &format!("{DRAINS}/x")).await.is_detail(404, "Not found");
    let mut said = String::new();
    timeout(Duration::from_secs(10), receiver.read_to_string(&mut said)).await.expect("it ends").unwrap();
    assert!(said.contains(&format!(" hello slipway api - - log drain {url} added")), "{said}");
    assert_eq!(world.get(&token, DRAINS).await.json()["count"], 0);
}

#[tokio::test]
async fn an_app_has_five_drains_at_most_and_none_that_makes_no_sense() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    let refused = async |url: Value, text: &str| {
        let answer = world.post(&token, DRAINS, json!({"url": url})).await;
        let said = answer.json()["url"][0].as_str().unwrap_or_default().to_owned();
        assert!(answer.status == 400 && said.contains(text), "{url}: {answer:?}");
    };
    refused(json!(""), "This field may not be blank.").await;
    refused(json!("ftp://example.com"), "Write it like syslog://logs.example.com:514").await;
    refused(json!("syslog://a/path"), "Syslog takes a host and a port only").await;
    refused(json!("syslog://nowhere.invalid"), "its host 'nowhere.invalid' is not found at a public address").await;
    for n in 1..=5 {
        let answer = world.post(&token, DRAINS, json!({"url": format!("https://u:secret@192.0.2.1/{n}?key=k")})).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.json()["url"], format!("https://***@192.0.2.1/{n}?***"));
    }
    let answer = world.post(&token, DRAINS, json!({"url": "syslog://192.0.2.1"})).await;
    answer.is_detail(400, "An app has at most 5 log drains; remove one first.");
    let all = world.get(&token, DRAINS).await.text + &world.get(&token, "/v1/apps/hello/logs").await.text;
    assert!(!all.contains("secret") && !all.contains("key=k"), "{all}");
    world.delete(&token, "/v1/apps/hello").await.is_empty(204);
}
