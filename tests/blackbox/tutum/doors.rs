//! One application through two doors (spec §16).

use serde_json::{Value, json};

use super::ask;
use crate::support::{Slipway, Tutum, fresh_name, uri};

fn objects(list: &Value) -> &Vec<Value> {
    list["objects"].as_array().expect("a list")
}

#[tokio::test]
async fn an_app_of_deis_is_seen_at_the_tutum_door() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let bob = Tutum::of(&owner).await;
    let app = owner.create("both").await;
    assert_eq!(bob.fetch("/application/").await["meta"]["total_count"], 0, "there is nothing to run yet");
    let image = server.foreign_image("docker-web").await;
    app.post("/builds", &json!({"image": image})).await.expect(201);
    let list = bob.fetch("/application/").await;
    let [row] = &objects(&list)[..] else { panic!("{list}") };
    assert_eq!((&row["unique_name"], &row["state"]), (&json!(app.name), &json!("Running")));
    assert_eq!((&row["autorestart"], &row["container_size"]), (&json!("ALWAYS"), &json!("XL")));
    assert_eq!((&row["target_num_containers"], &row["running_num_containers"]), (&json!(1), &json!(1)));
    let detail = bob.fetch(uri(row)).await;
    assert_eq!(bob.containers(&detail).await[0]["unique_name"], format!("{}-1", app.name));
    // A name is taken across both doors.
    let made = bob.create(&json!({"image": image, "name": app.name})).await;
    assert_eq!(made["unique_name"], format!("{}-2", app.name));
    let taken = owner.post("/apps", &json!({"id": made["unique_name"]})).await.expect(400).json();
    assert!(taken["id"][0].is_string(), "{taken}");
    bob.until(uri(&made), "Running").await;

    // Scaling, stopping and starting go through; Deis has no stop and shows it as it is.
    bob.patch(uri(row), &json!({"target_num_containers": 2})).await.expect(202);
    bob.until(uri(row), "Running").await;
    assert_eq!(app.get("").await["structure"], json!({"cmd": 2}));
    bob.act(uri(row), "stop").await.expect(202);
    bob.until(uri(row), "Stopped").await;
    let containers = app.get("/containers").await;
    for container in containers["results"].as_array().expect("a list") {
        assert_eq!(container["state"], "down", "{container}");
    }
    bob.act(uri(row), "start").await.expect(202);
    bob.until(uri(row), "Running").await;
    app.until_page("app", &app.name).await;
    owner.delete(&app.path("")).await.expect(204);
    bob.get(uri(row)).await.expect(200);
    assert_eq!(bob.fetch(uri(row)).await["state"], "Terminated");
    bob.terminate_all().await;
}

#[tokio::test]
async fn an_application_of_tutum_is_seen_at_the_deis_door() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let bob = Tutum::of(&owner).await;
    let image = server.foreign_image("docker-web").await;
    let name = fresh_name("tutum");
    let values = json!([{"key": "GREETING", "value": "hello"}]);
    let made = bob.running(&image, &name, json!({"container_envvars": values, "target_num_containers": 2})).await;
    let app = owner.app(&name);
    let shown = app.get("").await;
    assert_eq!(
        (&shown["id"], &shown["structure"], &shown["owner"]),
        (&json!(name), &json!({"cmd": 2}), &json!("owner"))
    );
    assert_eq!(app.get("/config").await["values"], json!({"GREETING": "hello"}));
    let containers = app.get("/containers").await;
    let states: Vec<&Value> =
        containers["results"].as_array().expect("a list").iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["up", "up"]);
    // It answers under its name, as any app.
    app.until_page("config", "hello").await;

    bob.act(uri(&made), "stop").await.expect(202);
    bob.until(uri(&made), "Stopped").await;
    let containers = app.get("/containers").await;
    assert_eq!(containers["results"][0]["state"], "down");
    bob.act(uri(&made), "start").await.expect(202);
    bob.until(uri(&made), "Running").await;

    app.scale(&json!({"cmd": 1})).await;
    let one = bob.until(uri(&made), "Running").await;
    assert_eq!((&one["target_num_containers"], &one["running_num_containers"]), (&json!(1), &json!(1)));
    ask(&bob, &bob.containers(&one).await[0], "/").await.expect(200);

    owner.delete(&app.path("")).await.expect(204);
    let gone = bob.fetch(uri(&made)).await;
    assert_eq!(gone["state"], "Terminated");
    owner.get(&app.path("")).await.expect(404);
}
