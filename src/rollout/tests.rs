//! Faults: every engine verb fails at every call of a rollout, and the old release must serve as before.

mod health;
mod model;
mod strategies;
mod world;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::model::{OperationKind, OperationStatus};
use world::{IMAGE, World, formation, until};

/// What a rollout asks of the engine up to the switch.
const VERBS: [&str; 4] = ["ensure_network", "create_container", "start_container", "container"];

#[tokio::test]
async fn a_release_replaces_every_instance_and_is_routed_to() {
    let world = World::new().await;
    world.release(&formation(2, 1)).await.unwrap();
    let (running, rows, upstreams, version) = world.observe().await;
    assert_eq!((running.len(), rows.len(), upstreams.len(), version), (3, 3, 2, Some(1)));
    world.release(&formation(1, 0)).await.unwrap();
    let (running, rows, upstreams, version) = world.observe().await;
    assert_eq!((running.len(), rows.len(), upstreams.len(), version), (1, 1, 1, Some(2)));
    assert_eq!(world.engine.containers_now().len(), 1, "the old containers are gone");
    world.stop.cancel();
}

#[tokio::test]
async fn whichever_call_fails_before_the_switch_the_old_release_serves_as_before() {
    for verb in VERBS {
        let world = World::new().await;
        world.release(&formation(1, 1)).await.unwrap();
        let before = world.observe().await;
        let mut failures = 0;
        loop {
            world.engine.fail_from(verb, world.engine.calls(verb) + failures + 1);
            let done = world.release(&formation(2, 1)).await;
            world.engine.heal();
            if done.is_ok() {
                break;
            }
            failures += 1;
            assert_eq!(world.observe().await, before, "{verb} failed at call {failures}");
            assert_eq!(world.engine.containers_now().len(), 2, "{verb} failed at call {failures}, leaving a container");
        }
        assert!(failures > 0, "{verb} is called before the switch");
        world.stop.cancel();
    }
}

#[tokio::test]
async fn an_instance_that_dies_or_never_listens_is_reported_with_its_output() {
    let world = World::new().await;
    world.release(&formation(1, 0)).await.unwrap();
    let before = world.observe().await;
    world.engine.add_image(IMAGE, &[5000]);
    world.engine.say_on_start(IMAGE, &["starting", "no database"]);
    world.engine.exit_on_start(IMAGE, 3);
    let Err(RolloutError::Unhealthy(lines)) = world.release(&formation(1, 0)).await else { panic!("it came up") };
    let text = lines.join("\n");
    for expect in ["web.1 exited with status 3", "port 5000", "no database"] {
        assert!(text.contains(expect), "{text}");
    }
    assert_eq!(world.observe().await, before);
    world.stop.cancel();
}

#[tokio::test]
async fn scaling_leaves_the_other_instances_alone() {
    let world = World::new().await;
    world.release(&formation(1, 1)).await.unwrap();
    let before = world.observe().await;
    let target = world.serving().await;
    for (web, expect) in [(3, 4), (1, 2)] {
        let mut journal = world.journal(OperationKind::Scale).await;
        let wanted = formation(web, 1);
        world.rollouts.run(&mut journal, &target, &wanted, Scope::Difference, &|_| {}).await.unwrap();
        journal.finish(OperationStatus::Succeeded, "").await.unwrap();
        let now = world.observe().await;
        assert_eq!(now.0.len(), expect);
        assert!(before.0.iter().all(|name| now.0.contains(name)), "a container that stays was replaced");
    }
    assert_eq!(world.observe().await, before);
    world.stop.cancel();
}

#[tokio::test]
async fn what_a_dead_operation_left_is_settled_by_the_step_it_had_recorded() {
    let world = World::new().await;
    world.release(&formation(1, 0)).await.unwrap();
    let before = world.observe().await;
    // An earlier life started v2's instances and died before the switch.
    let target = world.cut().await;
    let journal = world.journal(OperationKind::Config).await;
    let operation = journal.operation().id.clone();
    let plan = plan::plan(&target, &formation(2, 0), &[], Scope::Replace, &operation);
    world.rollouts.prepare(&target, &plan.start).await.unwrap();
    world.rollouts.launch(&target, &plan.start, &|_| {}).await.unwrap();
    assert_eq!(world.engine.running_now().len(), 3);
    world.rollouts.settle(&world.app).await.unwrap();
    assert_eq!(world.observe().await, before);
    world.stop.cancel();
}

#[tokio::test]
async fn a_dead_instance_leaves_the_table_and_comes_back() {
    let mut world = World::new().await;
    world.release(&formation(1, 1)).await.unwrap();
    world.supervise();
    let victim =
        world.engine.containers_now().into_iter().find(|c| c.name.contains(".web.") || c.name.contains("web.1"));
    world.engine.crash(&victim.unwrap().id, 1);
    until("the dead instance is out of the table", || world.table.upstreams(&world.app.name).is_empty()).await;
    until("it is back", || world.table.upstreams(&world.app.name).len() == 1 && world.engine.running_now().len() == 2)
        .await;
    world.stop.cancel();
}

#[tokio::test]
async fn whichever_call_fails_nothing_is_left_of_a_one_off() {
    let world = World::new().await;
    world.release(&formation(1, 0)).await.unwrap();
    let target = world.serving().await;
    world.engine.have_files(IMAGE, &["/bin/sh"]);
    world.engine.say_on_start(IMAGE, &["done"]);
    world.engine.exit_on_start(IMAGE, 3);
    let cancel = CancellationToken::new();
    let run = async || {
        let place = world.rollouts.enter_one_off(&world.app, 2).await.unwrap();
        world.rollouts.run_one_off(&place, &target, "ls", &cancel, &|_| {}).await
    };
    assert_eq!(run().await.unwrap(), Ran { status: 3, output: "done\n".to_owned() });
    for verb in ["ensure_network", "create_container", "download", "attach", "start_container", "wait_container"] {
        let mut failures = 0;
        loop {
            world.engine.fail_from(verb, world.engine.calls(verb) + failures + 1);
            let done = run().await;
            world.engine.heal();
            assert_eq!(world.engine.containers_now().len(), 1, "{verb} failed at call {failures}");
            assert_eq!(world.rollouts.one_offs(world.app.id), []);
            if done.is_ok() {
                break;
            }
            failures += 1;
        }
        assert!(failures > 0, "{verb} is called");
    }
    // What cannot be removed goes as soon as it can.
    world.engine.have_files(IMAGE, &["/bin/bash"]);
    world.engine.fail_from("remove_container", world.engine.calls("remove_container") + 1);
    run().await.unwrap();
    assert_eq!(world.engine.containers_now().len(), 2);
    world.engine.heal();
    world.rollouts.sweep_one_offs().await.unwrap();
    assert_eq!(world.engine.containers_now().len(), 1);
    world.stop.cancel();
}
