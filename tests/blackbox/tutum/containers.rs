//! One container at a time (spec §8), and what the engine does behind our back.

use serde_json::{Value, json};

use super::{ask, exit, outer_port};
use crate::support::{Slipway, Tutum, uri};

#[tokio::test]
async fn a_container_is_stopped_started_replaced_and_terminated() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    let image = server.foreign_image("docker-web").await;
    let made = bob.running(&image, "one", json!({"target_num_containers": 2})).await;
    let [first, second] = &bob.containers(&made).await[..] else { panic!("{made}") };

    ask(&bob, first, "/").await.expect(200);
    let stopping = bob.act(uri(first), "stop").await.expect(202).json();
    assert_eq!((&stopping["state"], &stopping["uuid"]), (&json!("Stopping"), &first["uuid"]));
    let stopped = bob.until(uri(first), "Stopped").await;
    assert_eq!((&stopped["exit_code"], &stopped["exit_code_msg"].is_string()), (&json!(0), &true));
    bob.until(uri(&made), "Partly running").await;
    let starting = bob.act(uri(first), "start").await.expect(202).json();
    assert_eq!((&starting["state"], &starting["exit_code"]), (&json!("Starting"), &Value::Null));
    let again = bob.until(uri(first), "Running").await;
    assert_eq!(outer_port(&again), outer_port(first), "it keeps its port");
    ask(&bob, &again, "/").await.expect(200);

    bob.post(&format!("{}redeploy/", uri(second)), &json!({"tag": 5})).await.expect(400);
    let old = bob.act(uri(second), "redeploy").await.expect(202).json();
    assert_eq!(old["uuid"], second["uuid"]);
    bob.until(uri(second), "Terminated").await;
    let after = bob.until(uri(&made), "Running").await;
    assert_eq!(after["target_num_containers"], 2);
    let [kept, replaced] = &bob.containers(&after).await[..] else { panic!("{after}") };
    assert_eq!(kept["uuid"], first["uuid"]);
    assert_ne!(replaced["uuid"], second["uuid"]);
    ask(&bob, replaced, "/").await.expect(200);

    for container in [kept, replaced] {
        bob.delete(uri(container)).await.expect(202);
        bob.until(uri(container), "Terminated").await;
    }
    let none = bob.until(uri(&made), "Not running").await;
    assert_eq!((&none["target_num_containers"], &none["containers"]), (&json!(0), &json!([])));
    assert_eq!(bob.fetch("/container/?state=Terminated").await["meta"]["total_count"], 3);
    bob.terminate_all().await;
}

#[tokio::test]
async fn what_happens_behind_our_back_is_seen() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    let image = server.foreign_image("docker-web").await;
    let made = bob.running(&image, "back", json!({})).await;
    let container = bob.containers(&made).await.remove(0);

    server.docker().kill(&bob.in_engine(&container).await.id).await;
    let killed = bob.until(uri(&container), "Stopped").await;
    assert_eq!(killed["exit_code"], 137);
    bob.until(uri(&made), "Stopped").await;
    bob.act(uri(&made), "start").await.expect(202);
    let running = bob.until(uri(&container), "Running").await;

    exit(&bob, &running, 3).await;
    let ended = bob.until(uri(&container), "Stopped").await;
    assert_eq!(ended["exit_code"], 3);
    assert!(ended["exit_code_msg"].as_str().is_some_and(|text| text.contains('3')), "{ended}");
    bob.act(uri(&container), "start").await.expect(202);
    bob.until(uri(&container), "Running").await;

    server.docker().remove(&bob.in_engine(&container).await.id).await;
    let removed = bob.until(uri(&container), "Stopped").await;
    assert!(removed["exit_code_msg"].as_str().is_some_and(|text| text.contains("removed")), "{removed}");
    bob.act(uri(&container), "start").await.expect(202);
    let back = bob.until(uri(&container), "Running").await;
    assert_eq!(outer_port(&back), outer_port(&container), "made anew with the same port");
    ask(&bob, &back, "/").await.expect(200);
    bob.terminate_all().await;
}
