//! Strategies against the engine in memory.

use super::*;
use crate::model::InstanceState;

/// Containers that run, by what their names begin with: `hello_v1.web`.
fn running(world: &World, version: u32) -> usize {
    let prefix = format!("{}_v{version}.", world.app.name);
    world.engine.running_now().iter().filter(|name| name.starts_with(&prefix)).count()
}

#[tokio::test]
async fn stop_first_never_runs_two_releases_at_once() {
    let world = World::new().await;
    world.set(&[("SLIPWAY_STRATEGY", "stop-first")]);
    world.release(&formation(2, 1)).await.unwrap();
    world.engine.most_running();
    let target = world.cut().await;
    let (done, told) = world.roll(&target, &formation(2, 1)).await;
    done.unwrap();
    assert_eq!(world.engine.most_running(), 3);
    assert!(told.iter().any(|line| line.contains("stop-first: web=2 worker=1 of v1 end now, before v2 starts")));
    assert_eq!((running(&world, 1), running(&world, 2)), (0, 3));
    assert_eq!(world.table.upstreams(&world.app.name).len(), 2);
    assert_eq!(world.observe().await.1.len(), 3, "the old ones are forgotten");
}

#[tokio::test]
async fn a_failed_stop_first_brings_the_old_ones_back_and_runs_nothing_twice() {
    let world = World::new().await;
    world.set(&[("SLIPWAY_STRATEGY", "stop-first")]);
    world.release(&formation(1, 1)).await.unwrap();
    let before = world.observe().await;
    world.engine.add_image("test/bad:1", &[5000]);
    world.engine.most_running();
    let target = world.cut_of("test/bad:1").await;
    let (done, told) = world.roll(&target, &formation(1, 1)).await;
    assert!(done.unwrap_err().to_string().contains("did not listen"));
    assert!(told.iter().any(|line| line == "-----> Putting v1 back: web=1 worker=1"), "{told:?}");
    assert_eq!(world.engine.most_running(), 2);
    assert_eq!(world.observe().await, before);
}

#[tokio::test]
async fn rolling_serves_all_along_with_one_more_than_usual() {
    let world = World::new().await;
    world.set(&[("SLIPWAY_STRATEGY", "rolling")]);
    world.release(&formation(4, 2)).await.unwrap();
    world.engine.most_running();
    let target = world.cut().await;
    let fewest = std::sync::Mutex::new(usize::MAX);
    let mut journal = world.journal(OperationKind::Config).await;
    journal.step(Step::Release).await.unwrap();
    let out = |_: Event<'_>| {
        let mut fewest = fewest.lock().unwrap();
        *fewest = world.table.upstreams(&world.app.name).len().min(*fewest);
    };
    world.rollouts.run(&mut journal, &target, &formation(4, 2), Scope::Replace, &out).await.unwrap();
    assert_eq!(world.engine.most_running(), 7);
    assert_eq!(*fewest.lock().unwrap(), 4);
    assert_eq!((running(&world, 1), running(&world, 2)), (0, 6));
    assert_eq!(world.table.upstreams(&world.app.name).len(), 4);
}

#[tokio::test]
async fn a_failed_batch_puts_the_old_ones_back() {
    let world = World::new().await;
    world.set(&[("SLIPWAY_STRATEGY", "rolling"), ("SLIPWAY_STRATEGY_SURGE", "2")]);
    world.release(&formation(5, 0)).await.unwrap();
    let before = world.observe().await;
    world.engine.most_running();
    let target = world.cut().await;
    // The first batch comes up, and one of the second.
    world.engine.fail_from("start_container", world.engine.calls("start_container") + 4);
    let fewest = std::sync::Mutex::new(usize::MAX);
    let mut journal = world.journal(OperationKind::Config).await;
    journal.step(Step::Release).await.unwrap();
    let out = |event: Event<'_>| {
        if matches!(event, Event::Line(line) if line.contains("Putting v1 back: web=2")) {
            world.engine.heal();
        }
        let mut fewest = fewest.lock().unwrap();
        *fewest = world.table.upstreams(&world.app.name).len().min(*fewest);
    };
    world.rollouts.run(&mut journal, &target, &formation(5, 0), Scope::Replace, &out).await.unwrap_err();
    assert!(world.engine.most_running() <= 7);
    assert!(*fewest.lock().unwrap() >= 5);
    assert_eq!(world.observe().await, before_without_release(before, &world).await);
}

/// What was there before, with the release that the platform has yet to forget.
async fn before_without_release(
    before: (Vec<String>, Vec<String>, Vec<InstanceId>, Option<i64>),
    world: &World,
) -> (Vec<String>, Vec<String>, Vec<InstanceId>, Option<i64>) {
    (before.0, before.1, before.2, world.observe().await.3)
}

#[tokio::test]
async fn where_memory_is_short_instances_are_replaced_one_by_one() {
    let world = World::new().await;
    world.release(&formation(3, 0)).await.unwrap();
    for (available, strategy, expect) in [(200 << 20, None, 6), (100 << 20, None, 4), (100 << 20, Some("beside"), 6)] {
        world.engine.has_memory(available);
        world.set(&strategy.map(|it| [("SLIPWAY_STRATEGY", it)]).unwrap_or([("A", "b")]));
        world.engine.most_running();
        let target = world.cut().await;
        let (done, told) = world.roll(&target, &formation(3, 0)).await;
        done.unwrap();
        assert_eq!(world.engine.most_running(), expect, "{available} {strategy:?}");
        let says =
            told.iter().any(|line| line.contains("may take 192 MiB and 100 MiB are free: replacing one instance"));
        assert_eq!(says, expect == 4, "{told:?}");
    }
}

#[tokio::test]
async fn what_was_parked_when_the_server_died_comes_back() {
    for strategy in ["stop-first", "rolling"] {
        let mut world = World::new().await;
        world.set(&[("SLIPWAY_STRATEGY", strategy)]);
        world.release(&formation(2, 1)).await.unwrap();
        let before = world.observe().await;
        let target = world.cut().await;
        let mut journal = world.journal(OperationKind::Config).await;
        journal.step(Step::Release).await.unwrap();
        // The second of the new ones never starts.
        let second = world.engine.calls("start_container") + 2;
        world.engine.hang_from("start_container", second);
        let (rollouts, wanted) = (world.rollouts.clone(), formation(2, 1));
        let mut work = tokio::task::JoinSet::new();
        work.spawn(async move {
            let _never = rollouts.run(&mut journal, &target, &wanted, Scope::Replace, &|_| {}).await;
        });
        let is_parked = async || {
            let rows = instances::of_app(world.store.pool(), world.app.id).await.unwrap();
            rows.iter().any(|i| i.state == InstanceState::Parked)
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_parked().await || world.engine.calls("start_container") < second {
            assert!(Instant::now() < deadline, "nothing is parked");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        work.shutdown().await;
        world.engine.heal();
        world.die().await;
        assert!(!world.recover().await);
        world.supervise();
        until("the old ones are back", || world.table.upstreams(&world.app.name).len() == 2).await;
        until("all of them run", || world.engine.running_now() == before.0).await;
        let now = world.observe().await;
        assert_eq!((now.1, now.2), (before.1, before.2), "{strategy}");
        world.stop.cancel();
    }
}
