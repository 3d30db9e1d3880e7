//! What an application may be made of (spec §5.1), and what becomes of one whose image cannot be had.

use serde_json::{Value, json};

use crate::support::{Slipway, Tutum, uri};

#[tokio::test]
async fn every_rule_is_checked_before_anything_is_made() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    let bad = |member: &'static str, value: Value| (member, member, value);
    let cases = [
        bad("image", json!("")),
        bad("image", json!("Not An Image")),
        bad("image", json!("a:b:c")),
        bad("image", json!("a//b")),
        bad("image", json!("hello:-tag")),
        bad("image", json!("/api/v1/image/hello/")),
        bad("image", json!(5)),
        bad("name", json!("")),
        bad("name", json!("-a")),
        bad("name", json!("_a")),
        bad("name", json!("a b")),
        bad("name", json!("a.b")),
        bad("name", json!("é")),
        bad("name", json!("a".repeat(65))),
        bad("name", json!(["a"])),
        bad("container_size", json!("xs")),
        bad("container_size", json!(1)),
        bad("target_num_containers", json!(0)),
        bad("target_num_containers", json!(101)),
        bad("target_num_containers", json!("2")),
        bad("target_num_containers", json!(1.5)),
        bad("target_num_containers", json!(true)),
        bad("run_command", json!("sh -c 'open")),
        bad("run_command", json!(["sh"])),
        bad("entrypoint", json!("a \"b")),
        bad("entrypoint", json!("a\\")),
        bad("container_ports", json!("80")),
        bad("container_ports", json!([80])),
        bad("container_ports", json!([{"protocol": "tcp"}])),
        bad("container_ports", json!([{"protocol": "icmp", "inner_port": 80}])),
        bad("container_ports", json!([{"protocol": "tcp", "inner_port": 0}])),
        bad("container_ports", json!([{"protocol": "tcp", "inner_port": 65536}])),
        bad("container_ports", json!([{"protocol": "tcp", "inner_port": 80}, {"protocol": "tcp", "inner_port": 80}])),
        bad("container_envvars", json!({"A": "1"})),
        bad("container_envvars", json!([{"key": "A"}])),
        bad("container_envvars", json!([{"key": "A", "value": 1}])),
        bad("container_envvars", json!([{"key": "1A", "value": "1"}])),
        bad("container_envvars", json!([{"key": "A-B", "value": "1"}])),
        bad("container_envvars", json!([{"key": "TUTUM_AUTH", "value": "1"}])),
        bad("linked_to_application", json!("other")),
        bad("linked_to_application", json!([5])),
        bad("linked_to_application", json!([{"name": "db"}])),
        bad("linked_to_application", json!(["nobody"])),
        bad("linked_to_application", json!(["/api/v1/application/6fe5029e-c125-4088-9b9a-4e74da20ac58/"])),
        bad("linked_to_application", json!([{"to_application": "6fe5029e-c125-4088-9b9a-4e74da20ac58"}])),
        bad("autorestart", json!("always")),
        bad("autoreplace", json!("SOMETIMES")),
        bad("autodestroy", json!("ON_SUCCESS")),
        bad("roles", json!("global")),
        bad("roles", json!(["full"])),
        bad("roles", json!(["/api/v1/role/full/"])),
        bad("sequential_deployment", json!("yes")),
        bad("web_public_dns", json!("not a host")),
    ];
    for (member, field, value) in cases {
        let mut body = json!({"image": "example/hello"});
        body[member] = value;
        let answer = bob.post("/application/", &body).await.expect(400).json();
        assert_eq!(answer["field"], field, "{body}: {answer}");
    }
    let two = json!([{"inner_port": 80, "outer_port": 30080}]);
    let body = json!({"image": "a", "container_ports": two, "target_num_containers": 2});
    assert_eq!(bob.post("/application/", &body).await.expect(400).json()["field"], "container_ports");
    assert_eq!(bob.fetch("/application/").await["meta"]["total_count"], 0);
    assert_eq!(bob.fetch("/container/").await["meta"]["total_count"], 0);
    assert_eq!(server.rows("SELECT name FROM apps").await, [""; 0]);
}

#[tokio::test]
async fn an_image_that_cannot_be_had_shows_in_the_containers() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    // Nothing listens there.
    let body = json!({"image": "127.0.0.1:1/nobody/nothing:1", "target_num_containers": 2});
    let made = bob.create(&body).await;
    assert_eq!((&made["state"], &made["name"]), (&json!("Starting"), &json!("nothing")));
    assert_eq!(made["image_tag"], "/api/v1/image/127.0.0.1:1/nobody/nothing/tag/1/");
    assert_eq!(made["image_name"], "127.0.0.1:1/nobody/nothing:1");
    let stopped = bob.until(uri(&made), "Stopped").await;
    assert_eq!(stopped["deployed_datetime"], Value::Null);
    for container in bob.containers(&stopped).await {
        assert_eq!((&container["state"], &container["exit_code"]), (&json!("Stopped"), &Value::Null));
        let message = container["exit_code_msg"].as_str().expect("it says why");
        assert!(message.contains("127.0.0.1:1"), "{message}");
        assert_eq!(bob.fetch(&format!("{}logs/", uri(&container))).await, json!({"logs": ""}));
    }
    bob.terminate_all().await;
}
