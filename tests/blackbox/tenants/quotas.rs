//! What one tenant can use up: apps, memory, database, ports, turns.

use serde_json::json;

use super::alice_and_bob;
use crate::support::{Answer, Key, KeyKind, Options, Repo, Slipway, Tutum, User, fresh_name, uri, wait_until};

/// A server with these quotas.
async fn with(quotas: &str) -> Slipway {
    Slipway::start_with(Options::default().env("SLIPWAY_QUOTAS", quotas)).await
}

/// The one error: limit, use, whom to ask.
fn says(answer: Answer, kind: &str, words: &str) {
    let text = answer.expect(403).text;
    assert!(text.contains(words), "{text}");
    assert!(text.contains(&format!("PATCH /v1/admin/quotas/bob with {kind}")), "{text}");
}

async fn used(user: &User<'_>, kind: &str) -> u64 {
    let quotas = user.get("/quotas").await.expect(200).json();
    quotas["quotas"][kind]["used"].as_u64().unwrap_or_else(|| panic!("{quotas}"))
}

#[tokio::test]
async fn bob_has_so_many_apps_keys_domains_and_bytes_of_config_and_alice_has_her_own() {
    let server = with("apps=2 keys=2 domains=1 collaborators=1 config=1000").await;
    let (alice, bob) = alice_and_bob(&server).await;
    let name = fresh_name("bob");
    let first = bob.create("bob").await;
    // Two at once, and room for one.
    let (one, other) = (json!({ "id": format!("{name}-1") }), json!({ "id": format!("{name}-2") }));
    let (one, other) = tokio::join!(bob.post("/apps", &one), bob.post("/apps", &other));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 403], "{one:?} {other:?}");
    says(bob.post("/apps", &json!({})).await, "apps", "bob has 2 of 2 apps");
    assert_eq!(bob.get("/apps").await.expect(200).json()["count"], 2);

    bob.add_key("second", &Key::new(KeyKind::Ed25519).public).await.expect(201);
    says(bob.add_key("third", &Key::new(KeyKind::Ed25519).public).await, "keys", "2 of 2 SSH keys");
    bob.get("/keys/third").await.expect(404);
    first.post("/domains", &json!({ "domain": "one.bob.test" })).await.expect(201);
    says(first.post("/domains", &json!({ "domain": "two.bob.test" })).await, "domains", "1 of 1 domains");
    first.post("/perms", &json!({ "username": "alice" })).await.expect(201);
    first.post("/perms", &json!({ "username": "alice" })).await.expect(201);
    says(first.post("/perms", &json!({ "username": "admin" })).await, "collaborators", "1 of 1 collaborators");
    first.set(&json!({ "SMALL": "x" })).await;
    let before = first.versions().await;
    let large = json!({ "values": { "LARGE": "x".repeat(1000) } });
    says(first.post("/config", &large).await, "config", "of 1000 bytes config of one app");
    assert_eq!(first.versions().await, before);
    assert_eq!(first.get("/config").await["values"], json!({ "SMALL": "x" }));
    // What comes with bob's app is bob's, also if alice asks for it.
    let shared = alice.app(&first.name);
    says(shared.post("/domains", &json!({ "domain": "two.bob.test" })).await, "domains", "bob has 1 of 1");

    let hers = alice.create("alice").await;
    hers.post("/domains", &json!({ "domain": "two.bob.test" })).await.expect(201);
    alice.add_key("second", &Key::new(KeyKind::Ed25519).public).await.expect(201);
    // An app is no way around: given away it counts for the other.
    alice.create("alice").await;
    bob.post(&format!("/apps/{}", first.name), &json!({ "owner": "alice" })).await.expect(403);
    assert_eq!(first.get("").await["owner"], "bob");
}

#[tokio::test]
async fn bob_keeps_so_many_releases_with_their_configs_whatever_brings_them() {
    let server = with("releases=3 config=1000").await;
    let (alice, bob) = alice_and_bob(&server).await;
    let (hers, his) = (alice.create("alice").await, bob.create("bob").await);
    for number in 1..=5 {
        his.set(&json!({ "N": number.to_string() })).await;
        hers.set(&json!({ "N": number.to_string() })).await;
    }
    assert_eq!(his.versions().await, [6, 5, 4]);
    assert_eq!(used(&bob, "releases").await, 3);
    assert_eq!(server.rows("SELECT id FROM configs").await.len(), 6);
    his.post("/releases/rollback", &json!({ "version": 2 })).await.expect(404);
    his.post("/releases/rollback", &json!({ "version": 4 })).await.expect(201);
    assert_eq!(his.get("/config").await["values"]["N"], "3");
    // What a file of the tree, a limit or a group's environment bring counts as what is set.
    let large = "x".repeat(1200);
    let limits = json!({ "memory": { format!("a{}", "b".repeat(1200)): "1M" } });
    says(his.post("/config", &limits).await, "config", "of 1000 bytes config of one app");
    let repo = Repo::of("docker-web");
    repo.commit_file("app.json", &json!({ "env": { "LARGE": { "value": large } } }).to_string());
    his.push(&repo).await.failed().says(&["of 1000 bytes config of one app"]);
    let (image, variables) = (server.foreign_image("docker-web").await, json!([{ "key": "LARGE", "value": large }]));
    let group = json!({ "image": image, "name": "large", "container_envvars": variables });
    says(Tutum::of(&bob).await.post("/application/", &group).await, "config", "of 1000 bytes config of one app");
    assert_eq!(his.get("/config").await["values"], json!({ "N": "3" }));
}

#[tokio::test]
async fn an_administrator_raises_the_quota_of_one_account() {
    let server = with("apps=1").await;
    let admin = server.admin().await;
    let alice = User::register(&server, "alice", KeyKind::Ed25519).await;
    let bob = User::register(&server, "bob", KeyKind::Ed25519).await;
    for user in [&alice, &bob] {
        user.create("one").await;
        user.post("/apps", &json!({})).await.expect(403);
    }
    bob.patch("/admin/quotas/bob", &json!({ "apps": 9 })).await.expect(403);
    bob.get("/admin/quotas/alice").await.expect(403);
    admin.patch("/admin/quotas/bob", &json!({ "apps": "many" })).await.expect(400);
    let changed = admin.patch("/admin/quotas/bob", &json!({ "apps": 2, "memory": "1GiB" })).await.expect(200).json();
    assert_eq!(changed["quotas"]["apps"], json!({ "limit": 2, "used": 1, "own": true }));
    assert_eq!(changed["quotas"]["memory"]["limit"], 1 << 30);
    assert_eq!(bob.get("/quotas").await.expect(200).json(), changed);
    bob.create("two").await;
    bob.post("/apps", &json!({})).await.expect(403);
    alice.post("/apps", &json!({})).await.expect(403);
    admin.patch("/admin/quotas/bob", &json!({ "apps": null })).await.expect(200);
    bob.post("/apps", &json!({})).await.expect(403);
    admin.patch("/admin/quotas/bob", &json!({ "apps": "unlimited" })).await.expect(200);
    bob.create("three").await;
    assert_eq!(used(&bob, "apps").await, 3);
}

#[tokio::test]
async fn bob_runs_so_many_instances_and_so_much_memory() {
    let server = with("instances=3 memory=1536MiB").await;
    let (alice, bob) = alice_and_bob(&server).await;
    let (app, _) = bob.serving("docker-web").await;
    says(app.post("/scale", &json!({ "cmd": 4 })).await, "instances", "bob has 1 of 3 instances");
    assert_eq!(app.containers().await.len(), 1);
    let larger = app.post("/config", &json!({ "memory": { "cmd": "2G" } })).await;
    says(larger, "memory", "512 MiB of 1.5 GiB memory");
    assert_eq!(app.versions().await.len(), 2);
    // Two apps that grow at once do not both get the rest.
    let tutum = Tutum::of(&bob).await;
    let image = server.foreign_image("docker-web").await;
    let group = tutum.running(&image, "group", json!({})).await;
    let (of_app, of_group) = (json!({ "cmd": 2 }), json!({ "target_num_containers": 2 }));
    let (one, other) = tokio::join!(app.post("/scale", &of_app), tutum.patch(uri(&group), &of_group));
    let is_refused = [one.status, other.status].map(|status| status == 403);
    assert!(is_refused[0] != is_refused[1], "{one:?} {other:?}");
    wait_until("bob has three", std::time::Duration::from_secs(30), async || match used(&bob, "instances").await {
        3 => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    let more = tutum.post("/application/", &json!({ "image": image, "name": "more" })).await;
    says(more, "instances", "bob has 3 of 3");
    let (hers, _) = alice.serving("docker-web").await;
    hers.scale(&json!({ "cmd": 2 })).await;
}

#[tokio::test]
async fn a_port_of_the_host_is_in_the_range_or_granted() {
    let server = Slipway::start_with(
        Options::default().env("SLIPWAY_QUOTAS", "ports=2").env("SLIPWAY_PUBLISH_ADDR", "127.0.0.1"),
    )
    .await;
    let admin = server.admin().await;
    let person = User::register(&server, "bob", KeyKind::Ed25519).await;
    let bob = Tutum::of(&person).await;
    let image = server.foreign_image("docker-web").await;
    let port = {
        // One that nobody has now, below the range.
        let listener = std::net::TcpListener::bind("0.0.0.0:0").expect("a free port");
        listener.local_addr().expect("it is bound").port()
    };
    let ask = |outer: u16| json!({"image": image, "container_ports": [{"protocol": "tcp", "inner_port": 5000, "outer_port": outer}]});
    assert!(port < 49_153, "the kernel gives out ports below Slipway's range");
    for outer in [80, 22, port, server.addresses().api.port()] {
        let refused = bob.post("/application/", &ask(outer)).await.expect(400).text;
        assert!(refused.contains(&format!("port {outer} of the host is not for bob")), "{refused}");
    }
    assert_eq!(bob.fetch("/application/").await["meta"]["total_count"], 0, "nothing half done");
    admin.patch("/admin/quotas/bob", &json!({ "granted_ports": [port] })).await.expect(200);
    let made = bob.create(&ask(port)).await;
    let made = bob.until(uri(&made), "Running").await;
    let published = &bob.containers(&made).await[0]["container_ports"][0];
    assert_eq!(published["outer_port"], port);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    assert_eq!(used(&person, "ports").await, 1);
    let two = json!([{"protocol": "tcp", "inner_port": 1}, {"protocol": "tcp", "inner_port": 2}]);
    let more = bob.post("/application/", &json!({"image": image, "container_ports": two})).await;
    says(more, "ports", "bob has 1 of 2 published ports and this needs 2 more");
    // The number is bounded also where the image says what it listens on.
    assert_eq!(used(&person, "apps").await, 1);
}

#[tokio::test]
async fn a_push_beyond_the_quota_of_repositories_does_not_land() {
    let server = with("repositories=300KiB").await;
    let (alice, bob) = alice_and_bob(&server).await;
    let (app, repo) = bob.serving("docker-web").await;
    let head = app.head(&repo).await;
    let noise: String = (0..40_000_u64).map(|n| format!("{:x}\n", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
    repo.commit_file("noise.txt", &noise);
    let before = used(&bob, "repositories").await;
    let refused = app.push(&repo).await.failed();
    refused.says(&["of 300 KiB repositories of all apps", "PATCH /v1/admin/quotas/bob with repositories"]);
    assert_eq!(app.head(&repo).await, head);
    assert_eq!(used(&bob, "repositories").await, before, "its objects are gone");
    alice.serving("docker-web").await;
}

#[tokio::test]
async fn bobs_backlog_does_not_hold_alice_up() {
    let options = Options::default().env("SLIPWAY_BUILD_CONCURRENCY", "1").env("SLIPWAY_QUOTAS", "waiting-builds=1");
    let server = Slipway::start_with(options).await;
    let (alice, bob) = alice_and_bob(&server).await;
    let slow = |text: &str| {
        let repo = Repo::of("docker-web");
        let dockerfile = std::fs::read_to_string(repo.tree().join("Dockerfile")).expect("it is there");
        repo.commit_file("Dockerfile", &format!("{dockerfile}\nRUN echo {text} && sleep 6\n"));
        repo
    };
    let (one, two, three) = (bob.create("one").await, bob.create("two").await, bob.create("three").await);
    let (first, second, third) = (slow("first"), slow("second"), slow("third"));
    let building = one.start_push(&first);
    wait_until("bob builds", std::time::Duration::from_secs(30), async || match used(&bob, "builds").await {
        1 => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    let waiting = two.start_push(&second);
    wait_until("bob waits", std::time::Duration::from_secs(30), async || match used(&bob, "waiting-builds").await {
        1 => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    three.push(&third).await.failed().says(&["bob has 1 of 1 waiting builds"]);
    let hers = alice.create("hers").await;
    let pushed = hers.push(&Repo::of("docker-web")).await.succeeded();
    pushed.says(&["Waiting for a turn to build: 1 build goes first"]);
    assert_eq!(two.versions().await.len(), 1, "bob's second build has not even ended");
    building.finish().await.succeeded();
    waiting.finish().await.succeeded();
}
