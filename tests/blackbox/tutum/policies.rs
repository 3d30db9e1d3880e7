//! What becomes of containers that end by themselves (spec §12).

use serde_json::{Value, json};

use super::{ask, exit, outer_port};
use crate::support::{Engine, Options, Slipway, Tutum, uri};

async fn only_container(person: &Tutum<'_>, application: &str) -> Value {
    let containers = person.containers(&person.fetch(application).await).await;
    let [container] = &containers[..] else { panic!("not one container: {containers:?}") };
    container.clone()
}

#[tokio::test]
async fn autorestart_starts_the_same_container_three_times_a_minute() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    let image = server.foreign_image("docker-web").await;
    let made = bob.running(&image, "again", json!({"autorestart": "ON_FAILURE"})).await;
    let container = only_container(&bob, uri(&made)).await;
    let id = bob.in_engine(&container).await.id;
    server.docker().kill(&id).await;
    let restarted = bob
        .until_it(uri(&container), "runs again", |now| {
            now["state"] == "Running" && now["started_datetime"] != container["started_datetime"]
        })
        .await;
    assert_eq!(bob.in_engine(&restarted).await.id, id, "the same container");
    // A clean end is none of its business.
    exit(&bob, &restarted, 0).await;
    let ended = bob.until(uri(&container), "Stopped").await;
    assert_eq!(ended["exit_code"], 0);
    // A stop on request triggers nothing.
    bob.act(uri(&made), "start").await.expect(202);
    bob.until(uri(&made), "Running").await;
    bob.act(uri(&made), "stop").await.expect(202);
    bob.until(uri(&made), "Stopped").await;

    let crash = json!({"run_command": "sh -c 'echo I run; exit 7'", "autorestart": "ALWAYS"});
    let body = json!({"image": image, "name": "crash", "run_command": crash["run_command"], "autorestart": "ALWAYS"});
    let made = bob.create(&body).await;
    let stopped = bob.until_it(uri(&made), "has given up", |now| now["state"] == "Stopped").await;
    let container = only_container(&bob, uri(&stopped)).await;
    assert_eq!(container["exit_code"], 7);
    let logs = bob.fetch(&format!("{}logs/", uri(&container))).await;
    let runs = logs["logs"].as_str().expect("text").matches("I run").count();
    assert_eq!(runs, 4, "one start and three more: {logs}");
    bob.terminate_all().await;
}

#[tokio::test]
async fn a_crash_loop_can_be_ended() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    let image = server.foreign_image("docker-web").await;
    let body =
        json!({"image": image, "name": "loop", "run_command": "sh -c 'sleep 1; exit 1'", "autorestart": "ALWAYS"});
    let made = bob.create(&body).await;
    let container = bob.containers(&made).await.remove(0);
    bob.until_it(uri(&container), "has crashed", |now| now["exit_code"] == 1).await;
    // Whatever it is doing at this moment, both are allowed.
    bob.delete(uri(&made)).await.expect(202);
    bob.until(uri(&made), "Terminated").await;
}

#[tokio::test]
async fn autoreplace_deploys_another_one_and_autodestroy_ends_it() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    let image = server.foreign_image("docker-web").await;
    let made = bob.running(&image, "other", json!({"autoreplace": "ALWAYS"})).await;
    let first = only_container(&bob, uri(&made)).await;
    server.docker().kill(&bob.in_engine(&first).await.id).await;
    bob.until(uri(&first), "Terminated").await;
    bob.until(uri(&made), "Running").await;
    let second = only_container(&bob, uri(&made)).await;
    assert_ne!(second["uuid"], first["uuid"]);
    assert_eq!(bob.fetch(uri(&made)).await["target_num_containers"], 1);

    let made = bob.running(&image, "gone", json!({"autodestroy": "ON_FAILURE", "target_num_containers": 2})).await;
    let [kept, killed] = &bob.containers(&made).await[..] else { panic!("{made}") };
    exit(&bob, kept, 0).await;
    bob.until(uri(kept), "Stopped").await;
    server.docker().kill(&bob.in_engine(killed).await.id).await;
    bob.until(uri(killed), "Terminated").await;
    let left = bob.fetch(uri(&made)).await;
    assert_eq!((&left["target_num_containers"], &left["current_num_containers"]), (&json!(2), &json!(1)));
    // A change of a policy holds for the containers that are there.
    bob.patch(uri(&made), &json!({"autodestroy": "ALWAYS"})).await.expect(202);
    bob.act(uri(kept), "start").await.expect(202);
    let running = bob.until(uri(kept), "Running").await;
    exit(&bob, &running, 0).await;
    bob.until(uri(kept), "Terminated").await;
    bob.until(uri(&made), "Not running").await;
    bob.terminate_all().await;
}

#[tokio::test]
async fn after_an_end_of_the_engine_only_always_starts_again() {
    let engine = Engine::start().await;
    let server = Slipway::start_with(Options::default().engine(&engine)).await;
    server.may_log_errors();
    let bob = Tutum::of(&server.owner().await).await;
    let image = server.foreign_image("docker-web").await;
    let always = bob.running(&image, "always", json!({"autorestart": "ALWAYS"})).await;
    let never = bob.running(&image, "never", json!({})).await;
    let before = only_container(&bob, uri(&always)).await;
    engine.stop().await;
    engine.run().await;
    let again = bob
        .until_it(uri(&before), "runs again", |now| {
            now["state"] == "Running" && now["started_datetime"] != before["started_datetime"]
        })
        .await;
    assert_eq!(outer_port(&again), outer_port(&before));
    ask(&bob, &again, "/").await.expect(200);
    bob.until(uri(&never), "Stopped").await;
    let stopped = only_container(&bob, uri(&never)).await;
    assert!(stopped["exit_code"].is_number(), "{stopped}");
    bob.act(uri(&never), "start").await.expect(202);
    bob.until(uri(&never), "Running").await;
    let started = only_container(&bob, uri(&never)).await;
    assert_eq!((&started["uuid"], outer_port(&started)), (&stopped["uuid"], outer_port(&stopped)));
    ask(&bob, &started, "/").await.expect(200);
    bob.terminate_all().await;
}
