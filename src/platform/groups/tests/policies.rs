//! Policies: restart, replace, destroy, and their budgets.

use super::*;

async fn group_with(world: &World, policies: Policies) -> (GroupId, InstanceId) {
    let new = NewGroup { policies, ..new_group() };
    let id = world.platform.create_group(&world.user, new).await.unwrap().view.group.id;
    let view = world.until(id, GroupState::Running).await.view;
    (id, view.instances[0])
}

#[tokio::test]
async fn without_policies_what_ends_stays_stopped() {
    let world = World::new().await;
    let (id, one) = group_with(&world, Policies::default()).await;
    world.engine.crash(&world.container(one).unwrap(), 3);
    world.until(id, GroupState::Stopped).await;
    let ended = world.one(one).await;
    assert_eq!((ended.exit_code, ended.exit_message.as_deref()), (Some(3), Some("Exit code 3 (Failure)")));
    assert!(ended.stopped_at.is_some());
}

#[tokio::test]
async fn a_crash_loop_is_restarted_three_times_and_then_left() {
    let world = World::new().await;
    let restart = Policies { restart: Policy::OnFailure, ..Policies::default() };
    let (id, one) = group_with(&world, restart).await;
    let container = world.container(one).unwrap();
    for code in 1..=3 {
        world.until(id, GroupState::Running).await;
        world.engine.crash(&container, code);
        let again = world.until_one(one, "it starts again", |one| one.state == GroupInstanceState::Starting).await;
        assert_eq!((again.exit_code, again.is_automatic), (Some(code), true));
    }
    world.until(id, GroupState::Running).await;
    assert_eq!(world.container(one), Some(container.clone()), "it is the same container");
    world.engine.crash(&container, 4);
    world.until(id, GroupState::Stopped).await;
    assert_eq!(world.one(one).await.exit_code, Some(4));
}

#[tokio::test]
async fn a_restart_that_is_coming_can_be_stopped() {
    let world = World::new().await;
    let (id, one) = group_with(&world, Policies { restart: Policy::Always, ..Policies::default() }).await;
    world.engine.crash(&world.container(one).unwrap(), 0);
    world.until_one(one, "it starts again", |one| one.state == GroupInstanceState::Starting).await;
    world.platform.stop_group(&world.user, id).await.unwrap();
    world.until(id, GroupState::Stopped).await;
    assert!(world.engine.running_now().is_empty());
}

#[tokio::test]
async fn a_replacement_is_another_instance() {
    let world = World::new().await;
    let (id, one) = group_with(&world, Policies { replace: Policy::OnFailure, ..Policies::default() }).await;
    world.engine.crash(&world.container(one).unwrap(), 137);
    world.until_one(one, "it is gone", |one| one.state == GroupInstanceState::Terminated).await;
    let view = world.until(id, GroupState::Running).await.view;
    assert_ne!(view.instances, [one]);
    assert_eq!((view.group.wanted, world.engine.containers_now().len()), (1, 1));
}

#[tokio::test]
async fn what_is_destroyed_leaves_a_gap() {
    let world = World::new().await;
    let (id, one) = group_with(&world, Policies { destroy: Policy::Always, ..Policies::default() }).await;
    world.engine.crash(&world.container(one).unwrap(), 0);
    let view = world.until(id, GroupState::NotRunning).await.view;
    assert_eq!((view.group.wanted, view.instances.len()), (1, 0));
    world.until_one(one, "it is gone", |one| one.state == GroupInstanceState::Terminated).await;
    world.platform.redeploy_group(&world.user, id, None).await.unwrap();
    assert_eq!(world.until(id, GroupState::Running).await.view.instances.len(), 1);
}

#[tokio::test]
async fn a_stop_on_request_triggers_nothing() {
    let world = World::new().await;
    let all = Policies { restart: Policy::Always, replace: Policy::Always, destroy: Policy::Always };
    let (id, one) = group_with(&world, all).await;
    world.platform.stop_group(&world.user, id).await.unwrap();
    world.until(id, GroupState::Stopped).await;
    // The watch has looked at it twice since.
    world.until_calls(&["containers"], world.calls(&["containers"]) + 3).await;
    let view = world.detail(id).await.view;
    assert_eq!((view.state, view.instances), (GroupState::Stopped, vec![one]));
}

#[tokio::test]
async fn after_an_end_of_the_engine_only_always_starts_again() {
    let world = World::new().await;
    let (always, _) = group_with(&world, Policies { restart: Policy::Always, ..Policies::default() }).await;
    let rest = Policies { restart: Policy::OnFailure, replace: Policy::Always, destroy: Policy::Always };
    let (other, one) = group_with(&world, rest).await;
    world.engine.go_away();
    world.until_calls(&["containers"], world.calls(&["containers"]) + 2).await;
    world.engine.be_back();
    world.until(other, GroupState::Stopped).await;
    assert_eq!(world.one(one).await.exit_code, Some(137));
    let view = world.until(always, GroupState::Running).await.view;
    assert_eq!(world.engine.running_now().len(), 1, "{view:?}");
}
