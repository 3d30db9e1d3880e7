//! `kill -9` between each 202 and its completion: what was accepted is carried out after the restart (spec §1.1).

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Slipway, Tutum, uri};

/// Kills the server as soon as it has accepted a request, starts it again and waits for the state that was meant.
async fn killed_after(
    person: &Tutum<'_>,
    method: Method,
    path: &str,
    body: Option<&Value>,
    end: (&str, &str),
) -> Value {
    let answer = person.ask(method, path, body).await.expect(202);
    person.server.kill9().await;
    person.server.restart().await;
    let (object, state) = end;
    let object = if object.is_empty() { uri(&answer.json()).to_owned() } else { object.to_owned() };
    person.until(&object, state).await
}

#[tokio::test]
async fn what_was_accepted_is_carried_out_whatever_happens_to_the_server() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    let image = server.foreign_image("docker-web").await;
    let body = json!({"image": image, "name": "crash", "target_num_containers": 2});
    let made = killed_after(&bob, Method::POST, "/application/", Some(&body), ("", "Running")).await;
    let own = uri(&made);
    assert_eq!(made["running_num_containers"], 2);
    let post = async |action: &str, end: &str| {
        killed_after(&bob, Method::POST, &format!("{own}{action}/"), None, (own, end)).await
    };
    post("stop", "Stopped").await;
    post("start", "Running").await;
    let three = json!({"target_num_containers": 3});
    let scaled = killed_after(&bob, Method::PATCH, own, Some(&three), (own, "Running")).await;
    assert_eq!(scaled["running_num_containers"], 3);
    let one = json!({"target_num_containers": 1});
    let scaled = killed_after(&bob, Method::PATCH, own, Some(&one), (own, "Running")).await;
    assert_eq!((&scaled["running_num_containers"], &scaled["current_num_containers"]), (&json!(1), &json!(1)));
    let redeployed = post("redeploy", "Running").await;
    assert_ne!(redeployed["containers"], scaled["containers"]);

    let container = redeployed["containers"][0].as_str().expect("a URI").to_owned();
    let act = async |action: &str, end: &str| {
        killed_after(&bob, Method::POST, &format!("{container}{action}/"), None, (&container, end)).await
    };
    act("stop", "Stopped").await;
    act("start", "Running").await;
    act("redeploy", "Terminated").await;
    let replaced = bob.until(own, "Running").await;
    let container = replaced["containers"][0].as_str().expect("a URI").to_owned();
    killed_after(&bob, Method::DELETE, &container, None, (&container, "Terminated")).await;
    bob.until(own, "Not running").await;
    killed_after(&bob, Method::PATCH, own, Some(&one), (own, "Running")).await;
    killed_after(&bob, Method::DELETE, own, None, (own, "Terminated")).await;
    let left = server.docker().containers(&[&format!("io.slipway.server={}", server.id().await)]).await;
    assert_eq!(left, []);
}
