//! Builds from images, releases, rollback.

use serde_json::{Value, json};

use super::{IMAGE, World};

const BUILDS: &str = "/v1/apps/hello/builds";
const ROLLBACK: &str = "/v1/apps/hello/releases/rollback";

#[tokio::test]
async fn an_image_is_deployed_as_a_build() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    let answer = world.post(&token, BUILDS, json!({"image": IMAGE})).await;
    assert_eq!((answer.status, answer.header("X-Deis-Release"), answer.header("Deis-Release")), (201, "2", "2"));
    let build = answer.json();
    assert_eq!((&build["owner"], &build["app"], &build["image"]), (&json!("bob"), &json!("hello"), &json!(IMAGE)));
    assert_eq!((&build["sha"], &build["procfile"], &build["dockerfile"]), (&json!(""), &json!({}), &json!("")));
    assert!(build["created"].as_str().unwrap().ends_with("UTC"));
    assert_eq!(build.as_object().unwrap().len(), 9, "{build}");
    assert_eq!(world.get(&token, "/v1/apps/hello").await.json()["structure"], json!({"cmd": 1}));
    let second = world.post(&token, BUILDS, json!({"image": IMAGE, "procfile": {"web": "./serve"}})).await.json();
    assert_eq!(second["procfile"], json!({"web": "./serve"}));
    let list = world.get(&token, BUILDS).await.json();
    assert_eq!(list["count"], 2);
    assert_eq!(list["results"][1]["uuid"], build["uuid"], "newest first");
    let text = world.post(&token, BUILDS, json!({"image": IMAGE, "procfile": "{\"web\": \"./serve\"}"})).await;
    assert_eq!(text.json()["procfile"], json!({"web": "./serve"}));
}

#[tokio::test]
async fn a_build_is_found_by_its_id() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    let first = world.post(&token, BUILDS, json!({"image": IMAGE})).await.json();
    let second =
        world.post(&token, BUILDS, json!({"image": IMAGE, "sha": "abc12345", "dockerfile": "FROM x"})).await.json();
    for build in [&first, &second] {
        world.get(&token, &format!("{BUILDS}/{}", build["uuid"].as_str().unwrap())).await.is(200, build.clone());
    }
    assert_eq!((&second["sha"], &second["dockerfile"]), (&json!("abc12345"), &json!("FROM x")));
    let other = world.post(&token, "/v1/apps", json!({"id": "other"})).await;
    assert_eq!(other.status, 201);
    for path in [
        format!("/v1/apps/other/builds/{}", first["uuid"].as_str().unwrap()),
        format!("{BUILDS}/nonsense"),
        format!("{BUILDS}/00000000-0000-4000-8000-000000000000"),
    ] {
        world.get(&token, &path).await.is_detail(404, "Not found");
    }
}

/// Spec §6: the table of default scaling.
#[tokio::test]
async fn the_first_deploy_scales_by_what_was_built() {
    let world = World::new().await;
    let token = world.user("bob").await;
    let check = async |app: &str, build: Value, expect: Value| {
        assert_eq!(world.post(&token, "/v1/apps", json!({"id": app})).await.status, 201);
        let answer = world.post(&token, &format!("/v1/apps/{app}/builds"), build).await;
        assert_eq!(answer.status, 201, "{app}: {answer:?}");
        assert_eq!(world.get(&token, &format!("/v1/apps/{app}")).await.json()["structure"], expect, "{app}");
    };
    let (web, worker) = (json!({"web": "./serve"}), json!({"worker": "./work"}));
    let sha = "abc12345";
    check("pulled", json!({"image": IMAGE}), json!({"cmd": 1})).await;
    check("pulled-web", json!({"image": IMAGE, "procfile": web}), json!({"cmd": 1})).await;
    check("dockerfile", json!({"image": IMAGE, "sha": sha, "dockerfile": "true"}), json!({"cmd": 1})).await;
    check("worker", json!({"image": IMAGE, "sha": sha, "procfile": worker}), json!({"cmd": 1})).await;
    check("web", json!({"image": IMAGE, "sha": sha, "procfile": web}), json!({"web": 1})).await;
}

#[tokio::test]
async fn builds_are_checked() {
    let world = World::new().await;
    let token = world.app("bob", "hello").await;
    let check = async |body: Value, expect: Value| world.post(&token, BUILDS, body).await.is(400, expect);
    check(json!({}), json!({"image": ["This field is required."]})).await;
    check(json!({"image": ""}), json!({"image": ["This field may not be blank."]})).await;
    let long = json!({"image": ["Ensure this field has no more than 256 characters."]});
    check(json!({"image": "i".repeat(257)}), long).await;
    let commit = json!({"sha": ["'a/b' is not a commit id of at most 40 letters and digits."]});
    check(json!({"image": IMAGE, "sha": "a/b"}), commit).await;
    check(
        json!({"image": "a b"}),
        json!({"image": ["'a b' is not an image reference such as name:tag or host:5000/space/name:tag"]}),
    )
    .await;
    let command = json!({"procfile": ["The command of web must be text."]});
    for bad in [json!(5), json!(null), json!(" "), json!({})] {
        check(json!({"image": IMAGE, "procfile": {"web": bad}}), command.clone()).await;
    }
    let no_map = json!({"procfile": ["This field must be a JSON object, or text that holds one."]});
    check(json!({"image": IMAGE, "procfile": "web: ./serve"}), no_map).await;
    let unknown = world.post(&token, BUILDS, json!({"image": "no/such"})).await;
    unknown.is_detail(
        503,
        "image no/such cannot be pulled: no registry answers at a public address, or at one that the operator of \
                    this server lists in SLIPWAY_OUTBOUND_ALLOW",
    );
    assert_eq!(world.get(&token, "/v1/apps/hello/releases").await.json()["count"], 1, "no release of a failed pull");
}

#[tokio::test]
async fn releases_are_listed_newest_first_and_found_by_v_and_number() {
    let world = World::new().await;
    let token = world.running("bob", "hello").await;
    let list = world.get(&token, "/v1/apps/hello/releases").await.json();
    assert_eq!(list["count"], 2);
    let (second, first) = (&list["results"][0], &list["results"][1]);
    assert_eq!((&second["version"], &second["owner"], &second["app"]), (&json!(2), &json!("bob"), &json!("hello")));
    assert_eq!(second["summary"], format!("bob deployed {IMAGE}"));
    assert_eq!(second["build"].as_str().unwrap().len(), 36);
    assert_eq!((&first["build"], &first["summary"]), (&json!(null), &json!("bob created initial release")));
    assert_eq!(first["config"], second["config"]);
    assert_eq!(first.as_object().unwrap().len(), 9, "{first}");
    world.get(&token, "/v1/apps/hello/releases/v1").await.is(200, first.clone());
    world.get(&token, "/v1/apps/hello/releases/v2/").await.is(200, second.clone());
    for unknown in ["1", "v3", "v", "v-1", "v+1", "vx", "v99999999999999999999"] {
        world.get(&token, &format!("/v1/apps/hello/releases/{unknown}")).await.is_detail(404, "Not found");
    }
}

#[tokio::test]
async fn rollback_makes_a_new_release_of_an_old_pair() {
    let world = World::new().await;
    let token = world.running("bob", "hello").await;
    let config = "/v1/apps/hello/config";
    assert_eq!(world.post(&token, config, json!({"values": {"A": "1"}})).await.header("X-Deis-Release"), "3");
    assert_eq!(world.post(&token, config, json!({"values": {"A": "2"}})).await.header("X-Deis-Release"), "4");
    let back = world.post(&token, ROLLBACK, json!({"version": 2})).await;
    back.is(201, json!({"version": 5}));
    assert_eq!(back.header("X-Deis-Release"), "");
    assert_eq!(world.get(&token, config).await.json()["values"], json!({}));
    world.post(&token, ROLLBACK, json!({"version": "3"})).await.is(201, json!({"version": 6}));
    assert_eq!(world.get(&token, config).await.json()["values"], json!({"A": "1"}));
    world.ask(&token, "POST", ROLLBACK, "").await.is(201, json!({"version": 7}));
    assert_eq!(world.get(&token, config).await.json()["values"], json!({}), "v5 is the one before v6");
    let summary = world.get(&token, "/v1/apps/hello/releases/v5").await.json();
    assert_eq!(summary["summary"], "bob rolled back to v2");
    let containers = world.get(&token, "/v1/apps/hello/containers").await.json();
    assert_eq!(containers["results"][0]["release"], "v7");
}

#[tokio::test]
async fn rollback_to_what_makes_no_sense_is_refused() {
    let world = World::new().await;
    let token = world.running("bob", "hello").await;
    world.post(&token, ROLLBACK, json!({"version": 0})).await.is_detail(400, "version cannot be below 0");
    world.post(&token, ROLLBACK, json!({"version": 9})).await.is_detail(404, "Not found");
    for bad in [json!("v2"), json!(""), json!(1.5), json!(null), json!(true), json!([2])] {
        let answer = world.post(&token, ROLLBACK, json!({"version": bad})).await;
        answer.is(400, json!({"version": ["A valid integer is required."]}));
    }
    let empty = world.post(&token, ROLLBACK, json!({"version": 1})).await;
    assert_eq!(empty.status, 400, "v1 has no build and the app runs: {empty:?}");
    assert_eq!(world.get(&token, "/v1/apps/hello/releases").await.json()["count"], 2);
}
