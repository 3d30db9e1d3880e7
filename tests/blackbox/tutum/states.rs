//! What may be done in which state, and who wins (spec §6, §8.1).

use serde_json::{Value, json};

use super::outer_port;
use crate::support::{Slipway, Tutum, uri};

/// Asks for each action that has to be refused; nothing may change.
async fn refused(person: &Tutum<'_>, object: &Value, actions: &[&str]) {
    for action in actions {
        let answer = match *action {
            "terminate" => person.delete(uri(object)).await,
            "scale" => person.patch(uri(object), &json!({"target_num_containers": 7})).await,
            action => person.act(uri(object), action).await,
        };
        assert!(answer.expect(400).json()["error"].is_string(), "{action}");
    }
    assert_eq!(person.fetch(uri(object)).await["state"], object["state"]);
}

#[tokio::test]
async fn actions_that_a_state_forbids_are_refused() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    let image = server.foreign_image("docker-web").await;
    let made = bob.running(&image, "state", json!({"target_num_containers": 2})).await;
    refused(&bob, &made, &["start"]).await;
    let containers = bob.containers(&made).await;
    refused(&bob, &containers[0], &["start"]).await;

    // Policies may be changed in every state.
    let change = json!({"autorestart": "OFF", "autodestroy": "ON_FAILURE"});
    let changed = bob.patch(uri(&made), &change).await.expect(202).json();
    assert_eq!((&changed["state"], &changed["autodestroy"]), (&json!("Running"), &json!("ON_FAILURE")));
    assert_eq!(bob.fetch(uri(&containers[0])).await["autodestroy"], "ON_FAILURE", "at once for those that are there");

    bob.act(uri(&containers[0]), "stop").await.expect(202);
    let stopped = bob.until(uri(&containers[0]), "Stopped").await;
    refused(&bob, &stopped, &["stop"]).await;
    let partly = bob.until(uri(&made), "Partly running").await;
    assert_eq!((&partly["running_num_containers"], &partly["stopped_num_containers"]), (&json!(1), &json!(1)));
    let listed = bob.fetch("/application/?state=Partly+running").await;
    assert_eq!(listed["meta"]["total_count"], 1);
    bob.act(uri(&made), "start").await.expect(202);
    bob.until(uri(&made), "Running").await;

    bob.act(uri(&made), "stop").await.expect(202);
    let stopped = bob.until(uri(&made), "Stopped").await;
    refused(&bob, &stopped, &["stop", "scale"]).await;
    bob.patch(uri(&made), &json!({"autodestroy": "OFF"})).await.expect(202);
    bob.delete(uri(&made)).await.expect(202);
    let gone = bob.until(uri(&made), "Terminated").await;
    refused(&bob, &gone, &["start", "stop", "redeploy", "scale", "terminate"]).await;
    bob.patch(uri(&made), &json!({"autodestroy": "OFF"})).await.expect(400);
    let container = bob.fetch(uri(&containers[0])).await;
    refused(&bob, &container, &["start", "stop", "redeploy", "terminate"]).await;
}

#[tokio::test]
async fn of_two_at_once_one_wins() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    let image = server.foreign_image("docker-web").await;
    let made = bob.running(&image, "race", json!({})).await;
    for (action, end) in [("stop", "Stopped"), ("start", "Running"), ("redeploy", "Running"), ("stop", "Stopped")] {
        let (one, two) = tokio::join!(bob.act(uri(&made), action), bob.act(uri(&made), action));
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [202, 400], "{action}: {} {}", one.text, two.text);
        bob.until(uri(&made), end).await;
    }
    bob.terminate_all().await;
}

#[tokio::test]
async fn names_are_made_unique_and_explicit_ports_are_ones_own() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    let image = server.foreign_image("docker-web").await;
    let first = bob.running(&image, "name", json!({})).await;
    let free = outer_port(&bob.containers(&first).await[0]);
    let name = async |body: Value| bob.create(&body).await["unique_name"].clone();
    assert_eq!(name(json!({"image": image, "name": "name"})).await, "name-2");
    assert_eq!(name(json!({"image": image, "name": "name"})).await, "name-3");
    assert_eq!(name(json!({"image": image, "name": "NAME"})).await, "NAME-4", "host names know no case");
    // Taken, and not by a second application.
    let fixed = json!([{"protocol": "tcp", "inner_port": 5000, "outer_port": free}]);
    let answer = bob.post("/application/", &json!({"image": image, "container_ports": fixed})).await.expect(400);
    assert_eq!(answer.json()["field"], "container_ports");
    for object in bob.fetch("/application/").await["objects"].as_array().expect("a list") {
        bob.until(uri(object), "Running").await;
    }
    bob.terminate_all().await;
    let fixed = bob.running(&image, "fixed", json!({"container_ports": fixed})).await;
    assert_eq!(fixed["container_ports"][0]["outer_port"], free, "released by whom it was");
    assert_eq!(outer_port(&bob.containers(&fixed).await[0]), free);
    bob.patch(uri(&fixed), &json!({"target_num_containers": 2})).await.expect(400);
    bob.terminate_all().await;
}
