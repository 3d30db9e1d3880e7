//! Links, siblings and the credential of a role (spec §10, §11).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::ask;
use crate::support::{Options, Slipway, Tutum, uri};

/// The environment of a container's process, as the engine has it.
async fn environment(person: &Tutum<'_>, container: &Value) -> BTreeMap<String, String> {
    let there = person.in_engine(container).await;
    let pairs = there.env.iter().filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What `container_envvars` shows.
fn shown(container: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let variables = container["container_envvars"].as_array().expect("a list").iter();
    variables.map(|variable| (text(&variable["key"]), text(&variable["value"]))).collect()
}

/// What the others are told of a container, by number and the ports that it publishes.
fn expected(prefix: &str, number: usize, container: &Value) -> BTreeMap<String, String> {
    let (own, host) = (format!("{prefix}_{number}_PORT"), container["public_dns"].as_str().expect("a name"));
    let mut variables = BTreeMap::new();
    for port in container["container_ports"].as_array().expect("a list") {
        let (inner, outer) = (&port["inner_port"], &port["outer_port"]);
        let url = format!("tcp://{host}:{outer}");
        variables.entry(own.clone()).or_insert(url.clone());
        variables.insert(format!("{own}_{inner}_TCP"), url);
        variables.insert(format!("{own}_{inner}_TCP_ADDR"), host.to_owned());
        variables.insert(format!("{own}_{inner}_TCP_PORT"), outer.to_string());
        variables.insert(format!("{own}_{inner}_TCP_PROTO"), "tcp".to_owned());
    }
    variables
}

#[tokio::test]
async fn a_linked_application_is_reached_under_the_advertised_names() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    let image = server.foreign_image("docker-web").await;
    let set = json!([{"key": "GREETING", "value": "hello"}]);
    let db = bob.running(&image, "my-db", json!({"target_num_containers": 2, "container_envvars": set})).await;
    let containers = bob.containers(&db).await;
    let mut told = BTreeMap::new();
    for (number, container) in (1..).zip(&containers) {
        let mut own = expected("MY_DB", number, container);
        own.insert(format!("MY_DB_{number}_ENV_GREETING"), "hello".to_owned());
        let variables: BTreeMap<String, String> =
            serde_json::from_value(container["link_variables"].clone()).expect("texts");
        assert_eq!(variables, own);
        told.extend(own);
    }
    let url = db["link_variables"]["MY_DB_TUTUM_API_URL"].as_str().expect("a URL").to_owned();
    told.insert("MY_DB_TUTUM_API_URL".to_owned(), url);
    let all: BTreeMap<String, String> = serde_json::from_value(db["link_variables"].clone()).expect("texts");
    assert_eq!(all, told);

    let links = json!([uri(&db), {"to_application": db["uuid"], "name": "other"}]);
    let more = json!({
        "linked_to_application": links,
        "container_envvars": [{"key": "MY_DB_1_PORT", "value": "mine"}, {"key": "OWN", "value": "1"}],
    });
    let web = bob.running(&image, "web", more).await;
    let named = json!({"to_application": uri(&db), "name": "other"});
    assert_eq!(web["linked_to_application"], json!([uri(&db), named]), "as they were given");
    let from = bob.fetch(uri(&db)).await["linked_from_application"].clone();
    assert_eq!(from, json!([uri(&web), {"from_application": uri(&web), "name": "other"}]));

    let container = bob.containers(&web).await.remove(0);
    let (inside, outside) = (environment(&bob, &container).await, shown(&container));
    for (name, value) in &told {
        let value = if name == "MY_DB_1_PORT" { "mine" } else { value };
        assert_eq!(inside.get(name).map(String::as_str), Some(value), "{name}: the user's own wins");
        assert_eq!(outside.get(name).map(String::as_str), Some(value), "{name}");
        let other = name.replacen("MY_DB", "OTHER", 1);
        assert!(inside.contains_key(&other), "{other}");
    }
    assert!(!outside.contains_key("PYTHONUNBUFFERED"), "the image's own is not shown");

    // From inside, by name and outer port.
    for there in &containers {
        ask(&bob, there, "/").await.expect(200);
    }
    for number in [1, 2] {
        let host = &told[&format!("MY_DB_{number}_PORT_5000_TCP_ADDR")];
        let port = &told[&format!("MY_DB_{number}_PORT_5000_TCP_PORT")];
        let code = format!(
            "import urllib.request as u; print(u.urlopen('http://{host}:{port}/', timeout=10).read().decode())"
        );
        let id = bob.in_engine(&container).await.id;
        let said = server.docker().exec(&id, &["python3", "-c", &code]).await;
        let page: Value = serde_json::from_str(said.trim()).unwrap_or_else(|error| panic!("{error}: {said}"));
        let there = bob.in_engine(&containers[number - 1]).await;
        assert_eq!(page["instance"], there.id[..12], "the very container: {said}");
    }

    // A link ends with its target; what containers were told stays.
    bob.delete(uri(&db)).await.expect(202);
    bob.until(uri(&db), "Terminated").await;
    assert_eq!(bob.fetch(uri(&web)).await["linked_to_application"], json!([]));
    let eve = Tutum::of(&server.stranger().await).await;
    let body = json!({"image": image, "linked_to_application": [uri(&web)]});
    assert_eq!(eve.post("/application/", &body).await.expect(400).json()["field"], "linked_to_application");
    for same in [
        json!([uri(&web), web["uuid"]]),
        json!([{"to_application": "web", "name": "a-b"}, {"to_application": "web", "name": "a_b"}]),
    ] {
        let body = json!({"image": image, "linked_to_application": same});
        assert_eq!(
            bob.post("/application/", &body).await.expect(400).json()["field"],
            "linked_to_application",
            "{same}"
        );
    }
    bob.terminate_all().await;
}

#[tokio::test]
async fn containers_that_come_one_after_another_know_those_before_them() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    let image = server.foreign_image("docker-web").await;
    let more = json!({"sequential_deployment": true, "target_num_containers": 3});
    let made = bob.running(&image, "row", more).await;
    assert_eq!(made["sequential_deployment"], true);
    let containers = bob.containers(&made).await;
    for (index, container) in containers.iter().enumerate() {
        let mut before = BTreeMap::new();
        for (number, sibling) in (1..).zip(&containers[..index]) {
            before.extend(expected("ROW", number, sibling));
        }
        assert_eq!(shown(container), before, "container {}", index + 1);
    }
    let plain = bob.running(&image, "flock", json!({"target_num_containers": 2})).await;
    for container in bob.containers(&plain).await {
        assert_eq!(shown(&container), BTreeMap::new());
    }
    bob.terminate_all().await;
}

#[tokio::test]
async fn a_role_is_a_credential_for_this_door_until_the_container_ends() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let bob = Tutum::of(&owner).await;
    let image = server.foreign_image("docker-web").await;
    let made = bob.running(&image, "granted", json!({"roles": ["global"], "target_num_containers": 2})).await;
    assert_eq!(made["roles"], json!(["/api/v1/role/global/"]));
    let containers = bob.containers(&made).await;
    let mut keys = Vec::new();
    for container in &containers {
        assert_eq!(container["roles"], json!(["/api/v1/role/global/"]));
        let value = environment(&bob, container).await.remove("TUTUM_AUTH").expect("a credential");
        let (name, key) = value.strip_prefix("ApiKey ").and_then(|rest| rest.split_once(':')).expect("a whole header");
        assert_eq!(name, owner.name);
        for shown in [container, &made] {
            assert!(!shown.to_string().contains(key) && !shown.to_string().contains("TUTUM_AUTH"));
        }
        keys.push(key.to_owned());
    }
    assert_ne!(keys[0], keys[1]);
    let inside = |key: &str| Tutum { server: &server, name: owner.name.clone(), key: key.to_owned() };
    assert_eq!(inside(&keys[0]).fetch(uri(&made)).await["uuid"], made["uuid"]);
    inside(&keys[0]).patch(uri(&made), &json!({"target_num_containers": 1})).await.expect(202);
    bob.until(uri(&made), "Running").await;
    inside(&keys[1]).get("/application/").await.expect(401);
    inside(&keys[0]).get("/application/").await.expect(200);
    let elsewhere = server.http().get(format!("http://{}/v1/apps", server.addresses().api));
    let elsewhere = elsewhere.header("Authorization", format!("token {}", keys[0])).send().await.expect("an answer");
    assert_eq!(elsewhere.status().as_u16(), 401);
    // Links pass on nothing of it.
    let linked = bob.running(&image, "linked", json!({"linked_to_application": ["granted"]})).await;
    assert!(!environment(&bob, &bob.containers(&linked).await[0]).await.contains_key("TUTUM_AUTH"));
    bob.terminate_all().await;
    inside(&keys[0]).get("/application/").await.expect(401);
}

#[tokio::test]
async fn a_container_asks_this_api_about_what_it_is_linked_to() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    // Where containers find this host, whatever network they are in: asked of the interface, because an engine that has
    // just made its bridge describes it without.
    let shown = std::process::Command::new("ip").args(["-4", "-o", "addr", "show", "docker0"]).output();
    let shown = String::from_utf8(shown.expect("make test installs it").stdout).expect("UTF-8");
    let gateway = shown.split_whitespace().find_map(|word| word.split_once('/')).expect("the bridge has an address").0;
    let port = server.addresses().api.port();
    server.stop().await;
    let options = Options::default().env("SLIPWAY_API_ADDR", &format!("0.0.0.0:{port}"));
    server.restart_with(options.env("SLIPWAY_API_URL", &format!("http://{gateway}:{port}/"))).await;
    let image = server.foreign_image("docker-web").await;
    let db = bob.running(&image, "db", json!({})).await;
    let more = json!({"roles": ["/api/v1/role/global/"], "linked_to_application": [uri(&db)]});
    let web = bob.running(&image, "web", more).await;
    let code = "import json, os, urllib.request as u; e = os.environ; \
                print(json.load(u.urlopen(u.Request(e['DB_TUTUM_API_URL'], headers={'Authorization': e['TUTUM_AUTH']}), \
                timeout=10))['uuid'])";
    let id = bob.in_engine(&bob.containers(&web).await[0]).await.id;
    assert_eq!(server.docker().exec(&id, &["python3", "-c", code]).await.trim(), db["uuid"].as_str().expect("a uuid"));
    bob.terminate_all().await;
}
