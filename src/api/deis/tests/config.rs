//! Config: values and limits.

use serde_json::{Value, json};

use super::World;

const CONFIG: &str = "/v1/apps/hello/config";

#[tokio::test]
async fn a_new_app_has_an_empty_config() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    let config = world.get(&token, CONFIG).await.json();
    assert_eq!((&config["owner"], &config["app"]), (&json!("bob"), &json!("hello")));
    for map in ["values", "memory", "cpu", "tags"] {
        assert_eq!(config[map], json!({}), "{map}");
    }
    assert!(config["created"].as_str().unwrap().ends_with("UTC"));
    assert_eq!((config["created"] == config["updated"], config["uuid"].as_str().unwrap().len()), (true, 36));
    assert_eq!(config.as_object().unwrap().len(), 9, "{config}");
}

#[tokio::test]
async fn values_merge_keep_their_types_and_go_with_null() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    let values = json!({"A": "x", "N": 10, "F": 1.5, "B": true, "U": "世界", "BIG": 18_446_744_073_709_551_615_u64});
    let set = world.post(&token, CONFIG, json!({"values": values})).await;
    assert_eq!(set.status, 201);
    let mut expect = values;
    expect["BIG"] = json!("18446744073709551615");
    assert_eq!(set.json()["values"], expect);
    let set = world.post(&token, CONFIG, json!({"values": {"A": "y", "N": null, "NEVER": null}})).await;
    expect["A"] = json!("y");
    expect.as_object_mut().unwrap().remove("N");
    assert_eq!(set.json()["values"], expect);
    world.get(&token, CONFIG).await.is(200, set.json());
}

#[tokio::test]
async fn every_change_is_a_release_and_says_so_in_both_headers() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    for (expect, body) in [("2", json!({"values": {"A": 1}})), ("3", json!({"values": {"A": 1}})), ("4", json!({}))] {
        let answer = world.post(&token, CONFIG, body).await;
        assert_eq!((answer.status, answer.header("X-Deis-Release")), (201, expect));
        assert_eq!(answer.header("Deis-Release"), expect);
    }
    let summaries = world.get(&token, "/v1/apps/hello/releases").await.json();
    assert_eq!(summaries["results"][0]["summary"], "bob changed nothing");
    assert_eq!(summaries["results"][2]["summary"], "bob added A");
}

#[tokio::test]
async fn limits_are_kept_beside_values() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    let set = world.post(&token, CONFIG, json!({"memory": {"web": "64M"}, "cpu": {"web": 512, "worker": "1"}})).await;
    assert_eq!(set.status, 201, "{set:?}");
    assert_eq!(set.json()["memory"], json!({"web": "64M"}));
    assert_eq!(set.json()["cpu"], json!({"web": 512, "worker": "1"}));
    let set = world.post(&token, CONFIG, json!({"values": {"A": "b"}, "cpu": {"web": null}})).await;
    assert_eq!((&set.json()["memory"], &set.json()["cpu"]), (&json!({"web": "64M"}), &json!({"worker": "1"})));
    let check = async |body: Value, expect: Value| world.post(&token, CONFIG, body).await.is(400, expect);
    let format = "Limit format: <number><unit>, where unit = B, K, M or G";
    check(json!({"memory": {"web": "64"}}), json!({"memory": [format]})).await;
    check(json!({"memory": {"Web": "64M"}}), json!({"memory": ["Process types can only contain [a-z]"]})).await;
    check(json!({"cpu": {"web": "x"}}), json!({"cpu": ["CPU shares must be an integer"]})).await;
    check(json!({"cpu": {"web": 1025}}), json!({"cpu": ["CPU shares must be between 0 and 1024"]})).await;
    assert_eq!(world.get(&token, "/v1/apps/hello/releases").await.json()["count"], 3);
}

#[tokio::test]
async fn what_is_no_map_of_values_is_refused() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    let check = async |body: Value, expect: Value| world.post(&token, CONFIG, body).await.is(400, expect);
    let no_map = "This field must be a JSON object, or text that holds one.";
    check(json!({"values": [1]}), json!({"values": [no_map]})).await;
    check(json!({"values": "A=1"}), json!({"values": [no_map]})).await;
    check(json!({"values": "[1]", "cpu": 5}), json!({"values": [no_map], "cpu": [no_map]})).await;
    check(json!({"values": null}), json!({"values": ["This field may not be null."]})).await;
    let nested = "The value of A must be text, a number, a boolean or null.";
    check(json!({"values": {"A": {"B": 1}}}), json!({"values": [nested]})).await;
    check(json!({"values": {"A": [1]}}), json!({"values": [nested]})).await;
    let name = "'1A' is not a config key: use letters, digits and _, not starting with a digit.";
    check(json!({"values": {"1A": 1}}), json!({"values": [name]})).await;
    for key in ["Rack", "r1", "a_b", ""] {
        check(json!({"tags": {key: "1"}}), json!({"tags": ["Tag keys can only contain [a-z]"]})).await;
    }
    for value in ["", "a b", "a-b"] {
        check(json!({"tags": {"rack": value}}), json!({"tags": ["Invalid tag value"]})).await;
    }
    let empty = world.post(&token, CONFIG, json!({"tags": "{}"})).await;
    assert_eq!((empty.status, &empty.json()["tags"]), (201, &json!({})));
}

#[tokio::test]
async fn a_config_with_which_nothing_comes_up_changes_nothing() {
    let world = World::new().await;
    let token = world.running("bob", "hello").await;
    world.engine.go_away();
    let answer = world.post(&token, CONFIG, json!({"values": {"SECRET": "hunter2"}})).await;
    assert_eq!((answer.status, answer.header("X-Deis-Release")), (503, ""));
    assert!(!answer.text.contains("hunter2"));
    assert_eq!(world.get(&token, CONFIG).await.json()["values"], json!({}));
    assert_eq!(world.get(&token, "/v1/apps/hello/releases").await.json()["count"], 2);
}

#[tokio::test]
async fn tags_are_labels_that_the_node_must_have() {
    let world = World::new().await;
    let token = world.running("bob", "hello").await;
    let unmet = world.post(&token, CONFIG, json!({"tags": {"rack": 1, "ssd": "true"}})).await;
    assert_eq!(unmet.status, 503, "{unmet:?}");
    let detail = unmet.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("no node has the label rack=1 and ssd=true\nlabels of this node: none; "), "{detail}");
    assert_eq!(world.get(&token, CONFIG).await.json()["tags"], json!({}), "the change is gone");
    world.engine.label_node("ssd", "true");
    world.engine.label_node("rack", "2");
    let unmet = world.post(&token, CONFIG, json!({"tags": {"rack": 1, "ssd": "true"}})).await;
    assert!(unmet.text.contains("no node has the label rack=1\\n"), "{unmet:?}");
    let met = world.post(&token, CONFIG, json!({"tags": "{\"rack\": 2, \"ssd\": \"true\"}"})).await;
    assert_eq!((met.status, &met.json()["tags"]), (201, &json!({"rack": 2, "ssd": "true"})));
    let summary = world.get(&token, "/v1/apps/hello/releases/v3").await.json()["summary"].clone();
    assert_eq!(summary, "bob added tag rack, ssd");
    world.post(&token, "/v1/apps/hello/scale", json!({"web": 2})).await.is_empty(204);
    let gone = world.post(&token, CONFIG, json!({"tags": {"rack": null}})).await;
    assert_eq!(gone.json()["tags"], json!({"ssd": "true"}));
}
