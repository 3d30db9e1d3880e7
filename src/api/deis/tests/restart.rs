//! Restarts.

use serde_json::{Value, json};

use super::World;

const CONTAINERS: &str = "/v1/apps/hello/containers";

/// `web.1` and the id of each container of a list.
fn named(list: &Value) -> Vec<(String, String)> {
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    let list = list.as_array().unwrap().iter();
    list.map(|it| (format!("{}.{}", text(&it["type"]), it["num"]), text(&it["uuid"]))).collect()
}

#[tokio::test]
async fn a_restart_replaces_what_it_names_and_nothing_else() {
    let world = World::new().await;
    let token = world.running("bob", "hello").await;
    world.post(&token, "/v1/apps/hello/scale", json!({"web": 2, "worker": 1})).await.is_empty(204);
    let all = async || {
        let mut all = named(&world.get(&token, CONTAINERS).await.json()["results"]);
        all.sort();
        all
    };
    let check = async |below: &str, expect: &[&str]| {
        let before = all().await;
        let answer = world.ask(&token, "POST", &format!("{CONTAINERS}{below}"), "").await;
        assert_eq!(answer.status, 200, "{below}: {answer:?}");
        let mut answered = named(&answer.json());
        answered.sort();
        assert_eq!(answered.iter().map(|(label, _)| label.as_str()).collect::<Vec<_>>(), expect, "{below}");
        let after = all().await;
        assert_eq!(after.len(), 3);
        for (old, new) in before.iter().zip(&after) {
            assert_eq!(old.0, new.0, "numbers stay");
            assert_eq!(old.1 != new.1, answered.contains(new), "{below}: {old:?} {new:?}");
        }
    };
    check("/web/2/restart", &["web.2"]).await;
    check("/web/restart/", &["web.1", "web.2"]).await;
    check("/worker/1/restart", &["worker.1"]).await;
    check("/restart", &["web.1", "web.2", "worker.1"]).await;
    let first = world.ask(&token, "POST", &format!("{CONTAINERS}/worker/restart"), "{}").await.json()[0].clone();
    assert_eq!((&first["state"], &first["release"], &first["owner"]), (&json!("up"), &json!("v2"), &json!("bob")));
    assert_eq!(first.as_object().unwrap().len(), 9, "{first}");
    assert_eq!(world.get(&token, "/v1/apps/hello/releases").await.json()["count"], 2, "a restart is no release");
    let logs = world.get(&token, "/v1/apps/hello/logs").await.json();
    for line in ["web.2", "web", "worker.1", "all"] {
        let line = format!("UTC deis[api]: bob restarted {line}\n");
        assert!(logs.as_str().unwrap().contains(&line), "{line} is missing in {logs}");
    }
}

#[tokio::test]
async fn what_cannot_be_restarted_is_said() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    let post = async |below: &str| world.ask(&token, "POST", &format!("{CONTAINERS}{below}"), "").await;
    post("/restart").await.is_detail(400, "No build associated with this release");
    let build = json!({"image": super::IMAGE, "procfile": {"web": "./serve", "worker": "./work", "restart": "./x"}});
    assert_eq!(world.post(&token, "/v1/apps/hello/builds", build).await.status, 201);
    for unknown in
        ["/nothing/restart", "/a.b/restart", "/web/2/restart", "/web/0/restart", "/worker/1/restart", "/web/x/restart"]
    {
        post(unknown).await.is_detail(404, "Not found");
    }
    post("/worker/restart").await.is(200, json!([]));
    world.post(&token, "/v1/apps/hello/scale", json!({"web": 0, "cmd": 0})).await.is_empty(204);
    post("/restart").await.is(200, json!([]));
    let stranger = world.user("eve").await;
    assert_eq!(world.ask(&stranger, "POST", &format!("{CONTAINERS}/restart"), "").await.status, 404);
    assert_eq!(world.ask("", "POST", &format!("{CONTAINERS}/restart"), "").await.status, 401);
}

/// The word `restart` in a path is what it is in that place and nothing else.
#[tokio::test]
async fn paths_and_methods_stay_apart() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    let build = json!({"image": super::IMAGE, "procfile": {"web": "./serve", "restart": "./x"}});
    assert_eq!(world.post(&token, "/v1/apps/hello/builds", build).await.status, 201);
    world.post(&token, "/v1/apps/hello/scale", json!({"restart": 1})).await.is_empty(204);
    let ask = async |method: &str, below: &str| world.ask(&token, method, &format!("{CONTAINERS}{below}"), "").await;
    assert_eq!(ask("GET", "/restart").await.json()["count"], 1);
    assert_eq!(ask("GET", "/restart/1").await.json()["type"], "restart");
    assert_eq!(named(&ask("POST", "/restart/restart").await.json())[0].0, "restart.1");
    assert_eq!(named(&ask("POST", "/restart/1/restart").await.json())[0].0, "restart.1");
    assert_eq!(ask("POST", "/restart").await.json().as_array().unwrap().len(), 2);
    let check = async |method: &str, below: &str, allow: &str| {
        let answer = ask(method, below).await;
        assert_eq!((answer.status, answer.header("Allow")), (405, allow), "{method} {below}");
    };
    check("POST", "/web", "GET, HEAD, OPTIONS").await;
    check("POST", "/web/1", "GET, HEAD, OPTIONS").await;
    check("GET", "/web/restart", "POST, OPTIONS").await;
    check("GET", "/web/1/restart", "POST, OPTIONS").await;
    check("DELETE", "/restart", "POST, GET, HEAD, OPTIONS").await;
}
