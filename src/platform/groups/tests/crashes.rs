//! The server dies between what a verb promised and its end; the engine fails or hangs.

use super::*;
use crate::engine::Engine;
use crate::platform::GroupDetail;

/// Everything that changes a group, on one that runs two instances, and what has to come of it.
async fn act(world: &World, id: GroupId, action: &str) -> Result<GroupDetail, Error> {
    let (platform, user) = (&world.platform, &world.user);
    let scaled = |wanted| GroupChange { wanted: Some(wanted), ..GroupChange::default() };
    match action {
        "stop" => platform.stop_group(user, id).await,
        "scale up" => platform.update_group(user, id, scaled(3)).await,
        "scale down" => platform.update_group(user, id, scaled(1)).await,
        "redeploy" => platform.redeploy_group(user, id, None).await,
        "terminate" => platform.terminate_group(user, id).await,
        other => panic!("{other}"),
    }
}

async fn expect(world: &World, id: GroupId, action: &str) {
    let (state, containers) = match action {
        "stop" => (GroupState::Stopped, 2),
        "scale up" => (GroupState::Running, 3),
        "scale down" => (GroupState::Running, 1),
        "redeploy" => (GroupState::Running, 2),
        "terminate" => (GroupState::Terminated, 0),
        other => panic!("{other}"),
    };
    world.until(id, state).await;
    assert_eq!(world.engine.containers_now().len(), containers, "{action}");
    let live = crate::store::operations::live(world.store.pool()).await.unwrap();
    assert!(live.is_empty(), "{action}: {live:?}");
}

#[tokio::test]
async fn what_was_promised_is_done_by_the_next_life_of_the_server() {
    for action in ["stop", "scale up", "scale down", "redeploy", "terminate"] {
        let mut world = World::new().await;
        let id = world.running("web", 2).await;
        let old = world.detail(id).await.view.instances;
        let verbs = ["stop_container", "remove_container", "create_container", "pull_image"];
        for verb in verbs {
            world.engine.hang_from(verb, world.engine.calls(verb) + 1);
        }
        let before = world.calls(&verbs);
        act(&world, id, action).await.unwrap();
        world.until_calls(&verbs, before + 1).await;
        world.die().await;
        world.engine.heal();
        world.come_back().await;
        expect(&world, id, action).await;
        if action == "redeploy" {
            assert!(world.detail(id).await.view.instances.iter().all(|one| !old.contains(one)));
        }
    }
}

#[tokio::test]
async fn a_launch_goes_on_after_a_crash() {
    for verb in ["pull_image", "create_container", "start_container"] {
        let mut world = World::new().await;
        world.engine.hang(verb);
        let id = world.platform.create_group(&world.user, NewGroup { wanted: 2, ..new_group() }).await.unwrap();
        let id = id.view.group.id;
        world.until_calls(&[verb], 1).await;
        assert_eq!(world.detail(id).await.view.state, GroupState::Starting);
        let refused = world.platform.stop_group(&world.user, id).await.unwrap_err();
        assert!(matches!(refused, Error::Refused(_)), "{refused:?}");
        world.die().await;
        world.engine.heal();
        world.come_back().await;
        world.until(id, GroupState::Running).await;
        assert_eq!(world.engine.containers_now().len(), 2, "{verb}");
        assert_eq!(world.engine.running_now().len(), 2, "{verb}");
    }
}

#[tokio::test]
async fn an_action_on_one_instance_goes_on_after_a_crash() {
    let mut world = World::new().await;
    let id = world.running("web", 1).await;
    let one = world.detail(id).await.view.instances[0];
    world.engine.hang_from("stop_container", world.engine.calls("stop_container") + 1);
    world.platform.stop_group_instance(&world.user, one).await.unwrap();
    world.die().await;
    world.engine.heal();
    world.come_back().await;
    world.until(id, GroupState::Stopped).await;
}

#[tokio::test]
async fn what_runs_is_found_again_and_what_ended_meanwhile_is_shown() {
    let mut world = World::new().await;
    let (id, other) = (world.running("web", 1).await, world.running("other", 1).await);
    let (kept, ended) = (world.detail(id).await.view.instances[0], world.detail(other).await.view.instances[0]);
    let before = world.container(kept);
    world.die().await;
    world.engine.crash(&world.container(ended).unwrap(), 3);
    world.come_back().await;
    world.until(other, GroupState::Stopped).await;
    assert_eq!(world.one(ended).await.exit_code, Some(3));
    world.until(id, GroupState::Running).await;
    assert_eq!(world.container(kept), before);
}

#[tokio::test]
async fn an_engine_that_refuses_shows_in_the_instances() {
    let world = World::new().await;
    world.engine.fail_next("create_container");
    let id = world.platform.create_group(&world.user, new_group()).await.unwrap().view.group.id;
    let stopped = world.until(id, GroupState::Stopped).await.view;
    let one = world.one(stopped.instances[0]).await;
    assert!(one.exit_message.as_deref().is_some_and(|text| text.contains("the test wants it")), "{one:?}");
    world.platform.start_group(&world.user, id).await.unwrap();
    world.until(id, GroupState::Running).await;
}

#[tokio::test]
async fn a_container_that_somebody_started_is_running() {
    let world = World::new().await;
    let id = world.running("web", 1).await;
    let one = world.detail(id).await.view.instances[0];
    world.platform.stop_group(&world.user, id).await.unwrap();
    world.until(id, GroupState::Stopped).await;
    world.engine.start_container(&world.container(one).unwrap()).await.unwrap();
    world.until(id, GroupState::Running).await;
}

#[tokio::test]
async fn a_container_that_somebody_removed_is_made_again_by_the_next_start() {
    let world = World::new().await;
    let id = world.running("web", 1).await;
    let one = world.detail(id).await.view.instances[0];
    let before = world.one(one).await;
    world.engine.remove_container(&world.container(one).unwrap()).await.unwrap();
    let stopped = world.until_one(one, "it is stopped", |one| one.state == GroupInstanceState::Stopped).await;
    assert!(stopped.exit_message.as_deref().is_some_and(|text| text.contains("removed")), "{stopped:?}");
    world.platform.start_group(&world.user, id).await.unwrap();
    world.until(id, GroupState::Running).await;
    assert_eq!(world.one(one).await.ports, before.ports, "the same ports");
}
