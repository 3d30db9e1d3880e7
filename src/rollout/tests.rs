//! Faults: every engine verb fails at every call of a rollout, and the old release must serve as before.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::engine::memory::Memory;
use crate::logs::LogLimits;
use crate::model::{BuildKind, InstanceState, OperationKind, OperationStatus, ProcessType, ReleaseStatus, User};
use crate::store::builds::{BuildResult, NewBuild};
use crate::store::users::NewUser;
use crate::store::{Sealer, apps, builds, configs, operations, releases, users};

const IMAGE: &str = "test/app:1";
/// What a rollout asks of the engine up to the switch.
const VERBS: [&str; 4] = ["ensure_network", "create_container", "start_container", "container"];

/// An app with an image that answers on its port, over a real database and the engine in memory.
struct World {
    rollouts: Rollouts,
    engine: Arc<Memory>,
    store: Store,
    table: Table,
    app: App,
    user: User,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("db").display());
        let store = Store::open(&url, Sealer::new([1; 32])).await.unwrap();
        let new = NewUser {
            username: "bob".parse().unwrap(),
            email: String::new(),
            first_name: String::new(),
            last_name: String::new(),
            password_hash: String::new(),
            is_superuser: false,
        };
        let mut tx = store.begin().await.unwrap();
        let user = users::insert(&mut tx, store.sealer(), &new).await.unwrap();
        tx.commit().await.unwrap();
        let app = tests_support::target().app;
        apps::insert(store.pool(), app.id, &app.name, user.id).await.unwrap();
        let app = apps::by_id(store.pool(), app.id).await.unwrap().unwrap();
        let engine = Arc::new(Memory::default());
        engine.add_image(IMAGE, &[5000]);
        engine.serve_on_start(IMAGE);
        let (table, stop) = (Table::new("localhost"), CancellationToken::new());
        table.add_app(&app.name);
        let logs = LogStore::new(folder.path().join("logs"), LogLimits::default());
        let collector = Collector::new(engine.clone(), logs.clone(), TaskTracker::new(), stop.clone());
        let parts = (store.clone(), engine.clone(), table.clone());
        let settings = RolloutSettings { boot_timeout: Duration::from_millis(400), ..tests_support::settings() };
        let rollouts = Rollouts::new(parts.0, parts.1, parts.2, logs, collector, settings, stop.clone());
        Self { rollouts, engine, store, table, app, user, stop, _folder: folder }
    }

    /// Cuts the next release of the image and yields what to roll out.
    async fn cut(&self) -> Target {
        let (pool, app) = (self.store.pool(), self.app.id);
        let id = crate::model::BuildId::new();
        let new = NewBuild {
            app,
            owner: self.user.id,
            kind: BuildKind::Image,
            image: "x".into(),
            engine_image: String::new(),
            commit: None,
            dockerfile: String::new(),
        };
        builds::insert(pool, id, &new).await.unwrap();
        let result = BuildResult {
            engine_image: IMAGE.to_owned(),
            fingerprint: None,
            slug: None,
            procfile: crate::model::Procfile::parse(b"web: serve\nworker: work").unwrap(),
            port: Some(5000),
        };
        builds::succeed(pool, id, &result).await.unwrap();
        let (values, limits) = Default::default();
        let config = configs::insert(pool, self.store.sealer(), app, self.user.id, &values, &limits).await.unwrap();
        let new = releases::NewRelease {
            app,
            owner: self.user.id,
            build: Some(id),
            config,
            summary: String::new(),
            status: ReleaseStatus::Pending,
        };
        let mut tx = self.store.begin().await.unwrap();
        let release = releases::insert(&mut tx, &new).await.unwrap();
        tx.commit().await.unwrap();
        Target {
            app: self.app.clone(),
            release,
            build: builds::get(pool, id).await.unwrap().unwrap(),
            config: configs::get(pool, self.store.sealer(), config).await.unwrap(),
        }
    }

    /// What the app's live instances run.
    async fn serving(&self) -> Target {
        let live = instances::of_app(self.store.pool(), self.app.id).await.unwrap().remove(0);
        assert_eq!(live.state, InstanceState::Live);
        self.rollouts.target_of(&live).await.unwrap().unwrap()
    }

    async fn journal(&self, kind: OperationKind) -> Journal {
        let operation = operations::begin(self.store.pool(), kind, &self.app, "bob").await.unwrap();
        Journal::new(self.store.clone(), operation)
    }

    /// Rolls a new release out; ends the operation either way, and removes the release if it failed, as the platform does.
    async fn release(&self, formation: &Formation) -> Result<(), RolloutError> {
        let target = self.cut().await;
        let mut journal = self.journal(OperationKind::Config).await;
        journal.step(Step::Release).await.unwrap();
        let done = self.rollouts.run(&mut journal, &target, formation, Scope::Replace, &|_| {}).await;
        if done.is_err() {
            releases::delete_pending(self.store.pool(), self.app.id).await.unwrap();
        }
        journal.finish(OperationStatus::Succeeded, "").await.unwrap();
        done
    }

    /// Everything that a person could notice: what runs, what is recorded, what is routed to, what serves.
    async fn observe(&self) -> (Vec<String>, Vec<String>, Vec<InstanceId>, Option<i64>) {
        let rows = instances::of_app(self.store.pool(), self.app.id).await.unwrap();
        let mut rows: Vec<String> = rows.iter().map(|i| format!("{} {} {}", i.id, i.label(), i.state)).collect();
        rows.sort();
        let mut upstreams = self.table.upstreams(&self.app.name);
        upstreams.sort();
        let latest = releases::latest(self.store.pool(), self.app.id).await.unwrap();
        (self.engine.running_now(), rows, upstreams, latest.map(|release| release.version))
    }
}

fn formation(web: u32, worker: u32) -> Formation {
    Formation([(ProcessType::web(), web), ("worker".parse().unwrap(), worker)].into())
}

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
    world.rollouts.launch(&target, &plan.start, &|_| {}).await.unwrap();
    assert_eq!(world.engine.running_now().len(), 3);
    world.rollouts.settle(&world.app).await.unwrap();
    assert_eq!(world.observe().await, before);
    world.stop.cancel();
}

#[tokio::test]
async fn a_dead_instance_leaves_the_table_and_comes_back() {
    let world = World::new().await;
    world.release(&formation(1, 1)).await.unwrap();
    let supervisor = tokio::spawn(world.rollouts.clone().supervise());
    let victim =
        world.engine.containers_now().into_iter().find(|c| c.name.contains(".web.") || c.name.contains("web.1"));
    world.engine.crash(&victim.unwrap().id, 1);
    until("the dead instance is out of the table", || world.table.upstreams(&world.app.name).is_empty()).await;
    until("it is back", || world.table.upstreams(&world.app.name).len() == 1 && world.engine.running_now().len() == 2)
        .await;
    world.stop.cancel();
    supervisor.await.unwrap();
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

async fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(std::time::Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
