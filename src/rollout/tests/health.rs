//! The health contract against the engine in memory.

use super::*;
use crate::model::health::of_image;
use crate::model::{Check, CheckKind, HttpQuestion, InstanceState, ProcessType, Question};

/// A check of `web` in `app.json`.
fn asks(world: &World, checks: Vec<Check>) {
    world.health.lock().unwrap().app = [(ProcessType::web(), checks)].into();
}

fn get(kind: CheckKind, content: &str) -> Check {
    Check::new(kind, Question::Http(HttpQuestion { content: content.to_owned(), ..HttpQuestion::get("/up") }))
}

/// Rolls a release out that is not to come up, and checks what it says, and that nothing has changed.
async fn refused(world: &World, expect: &str) {
    let before = world.observe().await;
    let error = world.release(&formation(1, 0)).await.unwrap_err();
    let RolloutError::Unhealthy(lines) = error else { panic!("{error}") };
    assert!(lines[0].contains(expect), "{lines:?}");
    assert_eq!(world.observe().await, before);
}

#[tokio::test]
async fn an_answer_has_to_have_the_status_and_the_content_that_app_json_asks_for() {
    let world = World::new().await;
    asks(&world, vec![get(CheckKind::Startup, "ready")]);
    world.engine.answer_on_start(IMAGE, 200, "warming up");
    refused(&world, "last answer: GET /up answered 200 OK without 'ready' in its body").await;
    world.engine.answer_on_start(IMAGE, 500, "ready");
    refused(&world, "last answer: GET /up answered 500 Internal Server Error").await;
    world.engine.answer_on_start(IMAGE, 302, "all is ready now");
    world.release(&formation(1, 0)).await.unwrap();
}

#[tokio::test]
async fn a_command_decides_and_its_output_is_quoted() {
    let world = World::new().await;
    asks(&world, vec![Check::new(CheckKind::Startup, Question::Command(vec!["look".to_owned()]))]);
    world.engine.execute_as(IMAGE, 3, "no table\n  users");
    refused(&world, "web.1 was not healthy within 0 s: command 'look' ended with status 3, saying: no table users")
        .await;
    world.engine.execute_as(IMAGE, 0, "");
    world.release(&formation(1, 0)).await.unwrap();
    // What it is to be asked on its port is asked, too.
    world.engine.add_image(IMAGE, &[5000]);
    refused(&world, "did not listen on port 5000").await;
}

#[tokio::test]
async fn an_images_own_healthcheck_decides_where_nobody_else_says_anything() {
    let world = World::new().await;
    let second = Duration::from_secs(1);
    world.health.lock().unwrap().image = of_image(&["look".to_owned()], second, second, Duration::ZERO, 2);
    world.engine.execute_as(IMAGE, 1, "");
    refused(&world, "command 'look' ended with status 1, saying: nothing").await;
    world.set(&[("HEALTHCHECK_URL", "/up")]);
    world.release(&formation(1, 1)).await.unwrap();
}

#[tokio::test]
async fn a_check_that_only_warns_refuses_nothing() {
    let world = World::new().await;
    asks(&world, vec![Check { only_warns: true, ..get(CheckKind::Startup, "ready") }]);
    let target = world.cut().await;
    let (done, told) = world.roll(&target, &formation(1, 0)).await;
    done.unwrap();
    assert!(told.iter().any(|line| line.contains("web.1 fails its check GET /up")), "{told:?}");
}

#[tokio::test]
async fn a_value_that_makes_no_sense_refuses_the_release_before_anything_starts() {
    let world = World::new().await;
    for (name, value) in [("HEALTHCHECK_TIMEOUT", "soon"), ("SLIPWAY_STRATEGY", "canary")] {
        world.set(&[("HEALTHCHECK_URL", "/up"), (name, value)]);
        let error = world.release(&formation(1, 0)).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("{name} is '{value}': give ")), "{error}");
        assert_eq!(world.engine.containers_now().len(), 0);
    }
}

#[tokio::test]
async fn a_sick_instance_leaves_the_table_and_is_replaced_while_the_other_goes_on() {
    let mut world = World::new().await;
    let liveness = Check { attempts: 2, interval: Duration::from_millis(20), ..get(CheckKind::Liveness, "") };
    asks(&world, vec![liveness]);
    world.release(&formation(2, 0)).await.unwrap();
    world.supervise();
    let before = world.engine.containers_now();
    let (sick, well) = (before[0].id.clone(), before[1].id.clone());
    world.engine.answer(&sick, 500, "");
    until("the sick one is out of the table", || world.table.upstreams(&world.app.name).len() == 1).await;
    until("another one serves", || world.table.upstreams(&world.app.name).len() == 2).await;
    let now: Vec<String> = world.engine.containers_now().into_iter().map(|container| container.id).collect();
    assert!(now.len() == 2 && now.contains(&well) && !now.contains(&sick), "{now:?}");
    let rows = instances::of_app(world.store.pool(), world.app.id).await.unwrap();
    assert!(rows.len() == 2 && rows.iter().all(|i| i.state == InstanceState::Live));
    let log = world.log().await;
    for expect in [
        "fails its liveness check GET /up: answered 500 Internal Server Error (2 times in a row); replacing it",
        "was ended for failing its liveness check; starting it again in 0 s",
        "is up",
    ] {
        assert!(log.contains(expect), "{log}");
    }
    // The fresh one is watched, too.
    let fresh = world.engine.containers_now().into_iter().find(|container| container.id != well).unwrap().id;
    world.engine.answer(&fresh, 503, "");
    until("the fresh one is replaced", || world.engine.containers_now().iter().all(|it| it.id != fresh)).await;
    world.stop.cancel();
}
