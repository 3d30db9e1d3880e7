//! The life of an application: create, scale, stop, start, redeploy, terminate (spec §5-§9).

use serde_json::{Value, json};

use super::{ask, outer_port, try_ask};
use crate::support::{Options, SHORT, Slipway, Tutum, uri, wait_until};

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// `Mon, 24 Mar 2014 23:58:15 +0000`, as the client's `strptime` wants it.
fn assert_date(value: &Value) {
    let words: Vec<&str> = text(value).split(' ').collect();
    let [weekday, day, month, year, time, zone] = words[..] else { panic!("{value}") };
    assert!(weekday.len() == 4 && weekday.ends_with(','), "{value}");
    assert!(!day.starts_with('0') && day.parse::<u8>().is_ok() && month.len() == 3 && year.len() == 4, "{value}");
    assert!(time.len() == 8 && zone == "+0000", "{value}");
}

#[tokio::test]
async fn an_application_from_its_creation_to_its_end() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    let image = server.foreign_image("docker-web").await;
    let (repository, tag) = image.rsplit_once(':').expect("a tag");
    let made = bob
        .create(&json!({
            "image_tag": image, "name": "My_Web", "target_num_containers": 2, "container_size": "S", "unknown": 1,
            "entrypoint": null, "container_envvars": [{"key": "GREETING", "value": "hello"}],
        }))
        .await;
    let own = uri(&made).to_owned();
    assert_eq!(own, format!("/api/v1/application/{}/", text(&made["uuid"])));
    for (member, expect) in [
        ("name", json!("My_Web")),
        ("unique_name", json!("My_Web")),
        ("image_tag", json!(format!("/api/v1/image/{repository}/tag/{tag}/"))),
        ("image_name", json!(image)),
        ("container_size", json!("S")),
        ("target_num_containers", json!(2)),
        ("current_num_containers", json!(2)),
        ("running_num_containers", json!(0)),
        ("stopped_num_containers", json!(0)),
        ("state", json!("Starting")),
        ("autorestart", json!("OFF")),
        ("autoreplace", json!("OFF")),
        ("autodestroy", json!("OFF")),
        ("deployed_datetime", Value::Null),
        ("started_datetime", Value::Null),
        ("stopped_datetime", Value::Null),
        ("destroyed_datetime", Value::Null),
        ("container_envvars", json!([{"application": own, "key": "GREETING", "value": "hello"}])),
        ("linked_to_application", json!([])),
        ("linked_from_application", json!([])),
        ("roles", json!([])),
        ("sequential_deployment", json!(false)),
    ] {
        assert_eq!(made[member], expect, "{member}");
    }
    let variables = made["link_variables"].as_object().expect("an object");
    assert_eq!(variables.keys().collect::<Vec<_>>(), ["MY_WEB_TUTUM_API_URL"], "nothing runs yet");
    let url = text(&made["link_variables"]["MY_WEB_TUTUM_API_URL"]);
    assert!(url.starts_with("http://slipway.localhost:") && url.ends_with(&own), "{url}");
    assert_eq!(bob.containers(&made).await.len(), 2);

    let running = bob.until(&own, "Running").await;
    assert_eq!((&running["running_num_containers"], &running["run_command"]), (&json!(2), &json!("python3 server.py")));
    assert_eq!(running["entrypoint"], "");
    let port = |port: u16| json!({"application": own, "protocol": "tcp", "inner_port": port, "outer_port": null});
    assert_eq!(running["container_ports"], json!([port(5000), port(8000)]), "what the image exposes");
    for date in ["deployed_datetime", "started_datetime"] {
        assert_date(&running[date]);
    }
    assert_eq!(running["containers"], made["containers"]);
    let containers = bob.containers(&running).await;
    let names: Vec<&str> = containers.iter().map(|container| text(&container["unique_name"])).collect();
    assert_eq!(names, ["My_Web-1", "My_Web-2"]);
    let hosts: Vec<&str> = containers.iter().map(|container| text(&container["public_dns"])).collect();
    assert_eq!(hosts, ["my-web-1-owner.localhost", "my-web-2-owner.localhost"]);
    assert_ne!(outer_port(&containers[0]), outer_port(&containers[1]));
    for container in &containers {
        assert_eq!((&container["application"], &container["name"]), (&json!(own), &json!("My_Web")));
        assert_eq!((&container["exit_code"], &container["exit_code_msg"]), (&Value::Null, &Value::Null));
        let page = ask(&bob, container, "/").await.expect(200).json();
        assert_eq!(page["config"], "hello");
        // 512 MiB as a hard limit, and half a core's weight.
        let there = bob.in_engine(container).await;
        assert_eq!(there.memory, 512 << 20);
        assert_date(&container["deployed_datetime"]);
        let logs = bob.fetch(&format!("{}logs/", uri(container))).await;
        assert!(text(&logs["logs"]).contains("listening on 5000\n"), "{logs}");
    }
    let logs = bob.fetch(&format!("{own}logs/")).await;
    for name in names {
        assert!(text(&logs["logs"]).contains(&format!("{name} | listening on 5000\n")), "{logs}");
    }
    // It answers by HTTP as any other app does.
    let host = text(&running["web_public_dns"]).to_owned();
    assert_eq!((host.as_str(), &running["public_dns"]), ("my-web.localhost", &running["web_public_dns"]));
    wait_until("the router serves it", SHORT, async || {
        let request = server.http().get(format!("http://{}/", server.addresses().http)).header("Host", &host);
        let answer = crate::support::Answer::to(request, "GET /").await?;
        if answer.status == 200 { Ok(()) } else { Err(answer.line()) }
    })
    .await;

    let ending = bob.delete(&own).await.expect(202).json();
    assert_eq!(ending["state"], "Terminating");
    let ended = bob.until(&own, "Terminated").await;
    assert_date(&ended["destroyed_datetime"]);
    assert_eq!(ended["containers"], made["containers"], "those that went with it");
    assert_eq!((&ended["current_num_containers"], &ended["running_num_containers"]), (&json!(0), &json!(0)));
    for container in bob.containers(&ended).await {
        assert_eq!(container["state"], "Terminated");
        assert_date(&container["destroyed_datetime"]);
        bob.act(uri(&container), "start").await.expect(400);
        assert_eq!(bob.fetch(&format!("{}logs/", uri(&container))).await, json!({"logs": ""}));
    }
    assert_eq!(server.docker().containers(&[&format!("io.slipway.server={}", server.id().await)]).await, []);
    // Its name is free at once.
    let again = bob.create(&json!({"image": image, "name": "My_Web"})).await;
    assert_eq!(again["unique_name"], "My_Web");
    bob.until(uri(&again), "Running").await;
    bob.terminate_all().await;
}

#[tokio::test]
async fn what_has_ended_is_listed_for_five_minutes() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    let image = server.foreign_image("docker-web").await;
    let made = bob.running(&image, "short", json!({})).await;
    let container = text(&made["containers"][0]).to_owned();
    bob.terminate_all().await;
    let lists = async || {
        let count = async |path: &str| bob.fetch(path).await["meta"]["total_count"].clone();
        (count("/application/").await, count("/container/").await)
    };
    assert_eq!(lists().await, (json!(1), json!(1)));
    assert_eq!(bob.fetch("/application/?state=Terminated").await["meta"]["total_count"], 1);
    let age = async |sqls: [&'static str; 2]| {
        server.stop().await;
        for sql in sqls {
            server.change_rows(sql).await;
        }
        server.restart().await;
    };
    age([
        "UPDATE process_groups SET destroyed_at = destroyed_at - 240000",
        "UPDATE group_instances SET destroyed_at = destroyed_at - 240000",
    ])
    .await;
    assert_eq!(lists().await, (json!(1), json!(1)), "four minutes later");
    age([
        "UPDATE process_groups SET destroyed_at = destroyed_at - 60001",
        "UPDATE group_instances SET destroyed_at = destroyed_at - 60001",
    ])
    .await;
    assert_eq!(lists().await, (json!(0), json!(0)), "five minutes later");
    bob.get(uri(&made)).await.expect(404);
    bob.get(&container).await.expect(404);
}

#[tokio::test]
async fn scaling_adds_the_next_numbers_and_ends_the_highest() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    let image = server.foreign_image("docker-web").await;
    let made = bob.running(&image, "scale", json!({})).await;
    let own = uri(&made);
    let scale = async |count: u32| bob.patch(own, &json!({"target_num_containers": count})).await;
    let names = async || {
        let containers = bob.containers(&bob.fetch(own).await).await;
        containers.iter().map(|container| text(&container["unique_name"]).to_owned()).collect::<Vec<_>>()
    };

    let same = scale(1).await.expect(202).json();
    assert_eq!(same["state"], "Running", "nothing to do");
    assert_eq!(bob.patch(own, &json!({})).await.expect(202).json()["state"], "Running");
    let more = scale(3).await.expect(202).json();
    assert_eq!((&more["state"], &more["target_num_containers"]), (&json!("Scaling"), &json!(3)));
    assert_eq!(more["containers"].as_array().map(Vec::len), Some(3), "those to come are there");
    assert_eq!(more["containers"][0], made["containers"][0]);
    scale(4).await.expect(400);
    let more = bob.until(own, "Running").await;
    assert_eq!(
        (names().await, &more["running_num_containers"]),
        (vec!["scale-1".into(), "scale-2".into(), "scale-3".into()], &json!(3))
    );

    // A container that is terminated leaves a gap, which the next one fills.
    let first = bob.containers(&more).await.remove(0);
    let ending = bob.delete(uri(&first)).await.expect(202).json();
    assert_eq!(ending["state"], "Terminating");
    assert_eq!(bob.fetch(own).await["target_num_containers"], 2);
    bob.until(uri(&first), "Terminated").await;
    bob.until(own, "Running").await;
    assert_eq!(names().await, ["scale-2", "scale-3"]);
    scale(3).await.expect(202);
    bob.until(own, "Running").await;
    assert_eq!(names().await, ["scale-1", "scale-2", "scale-3"]);

    scale(1).await.expect(202);
    let one = bob.until(own, "Running").await;
    assert_eq!((names().await, &one["current_num_containers"]), (vec!["scale-1".to_owned()], &json!(1)));
    scale(0).await.expect(202);
    let none = bob.until(own, "Not running").await;
    assert_eq!((&none["containers"], &none["target_num_containers"]), (&json!([]), &json!(0)));
    bob.act(own, "start").await.expect(400);
    bob.act(own, "stop").await.expect(400);
    scale(2).await.expect(202);
    bob.until(own, "Running").await;
    assert_eq!(names().await, ["scale-1", "scale-2"]);
    for wrong in [json!(-1), json!(101), json!("1"), json!(1.5)] {
        let answer = bob.patch(own, &json!({"target_num_containers": wrong})).await.expect(400).json();
        assert_eq!(answer["field"], "target_num_containers");
    }
    bob.terminate_all().await;
}

#[tokio::test]
async fn a_stop_keeps_containers_ports_and_data() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    let image = server.foreign_image("docker-web").await;
    let made = bob.running(&image, "keep", json!({"target_num_containers": 2})).await;
    let own = uri(&made);
    let before = bob.containers(&made).await;
    let ids = [bob.in_engine(&before[0]).await.id, bob.in_engine(&before[1]).await.id];
    for container in &before {
        ask(&bob, container, "/").await.expect(200);
    }

    let stopping = bob.act(own, "stop").await.expect(202).json();
    assert_eq!(stopping["state"], "Stopping");
    bob.act(own, "stop").await.expect(400);
    bob.delete(own).await.expect(400);
    let stopped = bob.until(own, "Stopped").await;
    assert_eq!((&stopped["running_num_containers"], &stopped["stopped_num_containers"]), (&json!(0), &json!(2)));
    assert_date(&stopped["stopped_datetime"]);
    assert_eq!(stopped["link_variables"].as_object().map(serde_json::Map::len), Some(1), "the API's URL alone");
    for container in bob.containers(&stopped).await {
        assert_eq!((&container["state"], &container["exit_code"]), (&json!("Stopped"), &json!(0)));
        assert!(text(&container["exit_code_msg"]).contains('0'));
        assert_eq!(container["link_variables"], json!({}));
        assert!(try_ask(&bob, &container, "/").await.is_err(), "nobody listens");
        assert!(text(&bob.fetch(&format!("{}logs/", uri(&container))).await["logs"]).contains("listening on"));
    }

    let starting = bob.act(own, "start").await.expect(202).json();
    assert_eq!(starting["state"], "Starting");
    let again = bob.until(own, "Running").await;
    assert_eq!(again["stopped_datetime"], stopped["stopped_datetime"], "both dates are kept");
    let after = bob.containers(&again).await;
    for (index, (old, new)) in before.iter().zip(&after).enumerate() {
        assert_eq!((&old["uuid"], outer_port(old)), (&new["uuid"], outer_port(new)));
        assert_eq!(bob.in_engine(new).await.id, ids[index]);
        assert_eq!(new["exit_code"], Value::Null);
        ask(&bob, new, "/").await.expect(200);
        let logs = bob.fetch(&format!("{}logs/", uri(new))).await;
        assert_eq!(text(&logs["logs"]).matches("listening on 5000").count(), 2, "of both runs: {logs}");
    }
    bob.terminate_all().await;
}

#[tokio::test]
async fn a_redeploy_replaces_everything_by_the_same_or_another_tag() {
    let server = Slipway::start().await;
    let bob = Tutum::of(&server.owner().await).await;
    let image = server.foreign_image("docker-web").await;
    let (repository, _) = image.rsplit_once(':').expect("a tag");
    server.docker().tag(&image, repository, "2").await;
    server.remove_image_at_the_end(&format!("{repository}:2"));
    let made = bob.running(&image, "again", json!({"target_num_containers": 2})).await;
    let own = uri(&made);
    for wrong in [json!({"tag": 5}), json!({"tag": "not a tag"}), json!({"tag": ""})] {
        assert_eq!(bob.post(&format!("{own}redeploy/"), &wrong).await.expect(400).json()["field"], "tag", "{wrong}");
    }
    let redeploying = bob.post(&format!("{own}redeploy/"), &json!({"tag": "2"})).await.expect(202).json();
    assert_eq!(redeploying["state"], "Redeploying");
    bob.act(own, "redeploy").await.expect(400);
    let after = bob.until(own, "Running").await;
    assert_eq!(after["image_name"], format!("{repository}:2"));
    let uuids = |object: &Value| object["containers"].as_array().expect("a list").clone();
    assert!(uuids(&after).iter().all(|container| !uuids(&made).contains(container)), "all are new");
    assert_eq!(after["running_num_containers"], 2);
    for container in bob.containers(&after).await {
        assert_eq!(container["image_tag"], format!("/api/v1/image/{repository}/tag/2/"));
        ask(&bob, &container, "/").await.expect(200);
    }
    // Without a tag, with null and with nothing at all it is the same image again.
    bob.post(&format!("{own}redeploy/"), &json!({"tag": null})).await.expect(202);
    let again = bob.until(own, "Running").await;
    assert_eq!(again["image_name"], format!("{repository}:2"));
    bob.act(own, "stop").await.expect(202);
    bob.until(own, "Stopped").await;
    bob.act(own, "redeploy").await.expect(202);
    bob.until(own, "Running").await;
    bob.terminate_all().await;
}

#[tokio::test]
async fn sizes_are_limits_and_can_be_configured() {
    let options = Options::default().env("SLIPWAY_SIZES", "tiny=48MiB:128 XS=64MiB:256");
    let server = Slipway::start_with(options).await;
    let bob = Tutum::of(&server.owner().await).await;
    let image = server.foreign_image("docker-web").await;
    assert_eq!(
        bob.post("/application/", &json!({"image": image, "container_size": "M"})).await.expect(400).status,
        400
    );
    let small = bob.running(&image, "small", json!({})).await;
    assert_eq!(small["container_size"], "tiny", "the smallest by default");
    let there = bob.in_engine(&bob.containers(&small).await[0]).await;
    assert_eq!(there.memory, 48 << 20);
    // More than that ends it, and it is said.
    let eater = r#"python3 -c 'import time; time.sleep(1); x = b"x" * (200 << 20); time.sleep(60)'"#;
    let made = bob.create(&json!({"image": image, "name": "eater", "run_command": eater})).await;
    let stopped = bob.until(uri(&made), "Stopped").await;
    assert_eq!(stopped["run_command"], eater);
    let container = bob.containers(&stopped).await.remove(0);
    assert_eq!(container["exit_code"], 137, "{container}");
    assert!(text(&container["exit_code_msg"]).to_lowercase().contains("memory"), "{container}");
    bob.terminate_all().await;
}
