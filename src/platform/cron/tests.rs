//! Scheduled commands over a real database and the engine in memory: due, run, crashed, forbidden, replaced.

use std::time::{Duration, Instant};

use super::*;
use crate::engine::{Container, ContainerState};
use crate::model::{AppId, BuildId, BuildKind, Procfile, Quota, QuotaKind, ReleaseStatus, Timestamp, User};
use crate::platform::groups::tests::world::{IMAGE, World};
use crate::store::{builds, configs, releases, users};

/// Monday 2026-11-30, 12:00 UTC: looks of these tests come at times that they choose.
const NOON: i64 = 1_796_040_000_000;
const MINUTE: i64 = 60_000;

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_millis(NOON + minutes * MINUTE)
}

/// A task that is due every minute.
fn task(id: &str, policy: CronPolicy) -> CronTask {
    CronTask {
        id: id.parse().unwrap(),
        command: "./work --now".to_owned(),
        schedule: "* * * * *".parse().unwrap(),
        zone: Default::default(),
        policy,
        is_paused: false,
    }
}

async fn world() -> World {
    let world = World::new().await;
    world.engine.have_files(IMAGE, &["/bin/sh"]);
    world
}

/// Makes an app whose release has these tasks since a minute before noon.
async fn app(world: &World, owner: &User, name: &str, tasks: &[CronTask]) -> App {
    world.platform.create_app(owner, Some(name.parse().unwrap())).await.unwrap();
    let app = world.platform.app(owner, name).await.unwrap().app().clone();
    release_with(world, &app, tasks).await;
    app
}

/// Switches to a release with these tasks, a minute before noon.
async fn release_with(world: &World, app: &App, tasks: &[CronTask]) {
    let (store, id) = (&world.store, BuildId::new());
    let new = builds::NewBuild {
        app: app.id,
        owner: app.owner_id,
        kind: BuildKind::Image,
        image: IMAGE.to_owned(),
        engine_image: IMAGE.to_owned(),
        commit: None,
        dockerfile: String::new(),
    };
    builds::insert(store.pool(), id, &new).await.unwrap();
    let result = builds::BuildResult {
        engine_image: IMAGE.to_owned(),
        fingerprint: None,
        slug: None,
        procfile: Procfile::parse(b"job: ./job --fast").unwrap(),
        port: None,
        health: Default::default(),
        cron: tasks.to_vec(),
    };
    builds::succeed(store.pool(), id, &result).await.unwrap();
    let (values, limits) = (Default::default(), Default::default());
    let config = configs::insert(store.pool(), store.sealer(), app.id, app.owner_id, &values, &limits).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let new = releases::NewRelease {
        app: app.id,
        owner: app.owner_id,
        build: Some(id),
        config,
        summary: String::new(),
        status: ReleaseStatus::Deployed,
    };
    releases::insert(&mut tx, &new).await.unwrap();
    cron::replace(&mut tx, app.id, tasks, at(-1)).await.unwrap();
    tx.commit().await.unwrap();
}

async fn person(world: &World, name: &str) -> User {
    let new = users::NewUser {
        username: name.parse().unwrap(),
        email: String::new(),
        first_name: String::new(),
        last_name: String::new(),
        password_hash: String::new(),
        is_superuser: false,
        may_be_first: true,
    };
    let mut tx = world.store.begin().await.unwrap();
    let user = users::insert(&mut tx, world.store.sealer(), &new).await.unwrap();
    tx.commit().await.unwrap();
    user
}

async fn look(world: &World, minutes: i64) {
    world.platform.look_at_schedules(at(minutes)).await.unwrap();
}

async fn until(what: &str, is: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn containers(world: &World) -> Vec<Container> {
    let all = world.engine.containers_now().into_iter();
    all.filter(|container| container.labels.contains_key("io.slipway.one-off")).collect()
}

/// Waits until so many containers of runs are there, and all of them run.
async fn until_running(world: &World, count: usize) -> Vec<Container> {
    until(&format!("{count} run"), async || {
        let all = containers(world);
        all.len() == count && all.iter().all(|container| container.state == ContainerState::Running)
    })
    .await;
    containers(world)
}

/// All runs of an app that are known, by number.
async fn runs(world: &World, app: AppId) -> Vec<(u32, String)> {
    let rows = all_runs(world, app).await;
    rows.into_iter().map(|run| (run.number, run.state.to_string())).collect()
}

async fn all_runs(world: &World, app: AppId) -> Vec<CronRun> {
    let mut all = cron::live(world.store.pool(), app, None).await.unwrap();
    let last = cron::last_runs(world.store.pool(), app).await.unwrap();
    all.extend(last.into_iter().filter(|run| !run.state.is_live()));
    all.sort_by_key(|run| run.number);
    all
}

async fn until_state(world: &World, app: AppId, number: u32, state: CronRunState) -> CronRun {
    let find = async || all_runs(world, app).await.into_iter().find(|run| run.number == number && run.state == state);
    until(&format!("cron.{number} is {state}"), async || find().await.is_some()).await;
    find().await.unwrap()
}

async fn log(world: &World, app: &App) -> Vec<String> {
    let handle = world.platform.app(&world.user, app.name.as_str()).await;
    let owner = match handle {
        Ok(handle) => handle,
        Err(_) => return Vec::new(),
    };
    let lines = world.platform.0.logs.tail(owner.app().id, 100).await.unwrap();
    lines.into_iter().map(|line| format!("{}: {}", line.source, line.text)).collect()
}

async fn says(world: &World, app: &App, text: &str) {
    until(&format!("the log says '{text}'"), async || log(world, app).await.iter().any(|line| line.contains(text)))
        .await;
}

#[tokio::test]
async fn what_is_due_runs_once_and_its_end_is_recorded() {
    let world = world().await;
    world.engine.say_on_start(IMAGE, &["working"]);
    let app = app(&world, &world.user.clone(), "hello", &[task("work", CronPolicy::Allow)]).await;
    let handle = world.platform.app(&world.user, "hello").await.unwrap();
    let shown = async || world.platform.cron_tasks(&handle, Page::ALL).await.unwrap().entries.remove(0);
    assert_eq!((shown().await.next_at, shown().await.last_run.is_none()), (Some(at(0)), true));
    look(&world, -1).await;
    assert_eq!(containers(&world).len(), 0, "not yet");
    look(&world, 0).await;
    look(&world, 0).await;
    let [container] = &until_running(&world, 1).await[..] else { panic!("one runs") };
    let spec = world.engine.spec(&container.id);
    assert_eq!(spec.command.unwrap(), ["/bin/sh", "-c", "./work --now"]);
    assert_eq!(spec.env["SLIPWAY_CRON_TASK"], "work");
    assert_eq!(spec.env["SLIPWAY_CRON_RUN"], "cron.1");
    assert_eq!(spec.env["SLIPWAY_CRON_DUE"], at(0).to_string());
    assert_eq!((spec.env["DEIS_APP"].as_str(), spec.env["DEIS_RELEASE"].as_str()), ("hello", "v2"));
    assert_eq!(spec.resources.memory_bytes, Some(64 << 20), "that of any one-off");
    assert!(container.name.starts_with("hello_v2.cron.1-"), "{}", container.name);
    let run = until_state(&world, app.id, 1, CronRunState::Running).await;
    assert_eq!((run.scheduled_at, run.version), (Some(at(0)), Some(2)));
    assert_eq!(shown().await.next_at, Some(at(1)));
    world.engine.crash(&container.id, 3);
    let run = until_state(&world, app.id, 1, CronRunState::Failed).await;
    assert_eq!((run.exit_status, run.detail.as_str()), (Some(3), ""));
    until("its container is gone", async || containers(&world).is_empty()).await;
    assert_eq!(shown().await.last_run.unwrap().id, run.id);
    for text in [
        format!("slipway[cron]: cron.1 ('work', due at {}) begins on v2: ./work --now", at(0)),
        "app[cron.1]: working".to_owned(),
        "slipway[cron]: cron.1 ('work') ended with status 3".to_owned(),
    ] {
        says(&world, &app, &text).await;
    }
    world.engine.exit_on_start(IMAGE, 0);
    look(&world, 1).await;
    until_state(&world, app.id, 2, CronRunState::Succeeded).await;
}

#[tokio::test]
async fn a_first_word_that_is_a_process_type_stands_for_its_command() {
    let world = world().await;
    let job = CronTask { command: "job --all".to_owned(), ..task("job", CronPolicy::Allow) };
    app(&world, &world.user.clone(), "hello", &[job]).await;
    look(&world, 0).await;
    let [container] = &until_running(&world, 1).await[..] else { panic!("one runs") };
    assert_eq!(world.engine.spec(&container.id).command.unwrap()[2], "./job --fast --all");
}

#[tokio::test]
async fn the_policy_decides_what_becomes_of_a_run_beside_another() {
    let world = world().await;
    let allow = app(&world, &world.user.clone(), "allow", &[task("work", CronPolicy::Allow)]).await;
    look(&world, 0).await;
    until_running(&world, 1).await;
    look(&world, 1).await;
    until_running(&world, 2).await;
    until_state(&world, allow.id, 2, CronRunState::Running).await;
    release_with(&world, &allow, &[]).await;

    let forbid = app(&world, &world.user.clone(), "forbid", &[task("work", CronPolicy::Forbid)]).await;
    look(&world, 0).await;
    until_running(&world, 3).await;
    look(&world, 1).await;
    says(
        &world,
        &forbid,
        &format!(
            "'work', due at {}, is left out: cron.1 still runs, and the task's concurrency_policy is forbid",
            at(1)
        ),
    )
    .await;
    assert_eq!(runs(&world, forbid.id).await, [(1, "running".to_owned())]);
    release_with(&world, &forbid, &[]).await;

    let replace = app(&world, &world.user.clone(), "replace", &[task("work", CronPolicy::Replace)]).await;
    look(&world, 0).await;
    let before = until_running(&world, 4).await;
    world.engine.most_running();
    look(&world, 1).await;
    says(&world, &replace, "cron.1 ('work') was called off: replaced by cron.2").await;
    until("the second has its turn", async || {
        look(&world, 1).await;
        runs(&world, replace.id).await.contains(&(2, "running".to_owned()))
    })
    .await;
    let after = until_running(&world, 4).await;
    assert_eq!(world.engine.most_running(), 4, "the first had ended");
    assert_ne!(before.last().unwrap().id, after.last().unwrap().id);
}

#[tokio::test]
async fn a_run_goes_on_while_the_server_does_not() {
    let mut world = world().await;
    let app = app(&world, &world.user.clone(), "hello", &[task("work", CronPolicy::Forbid)]).await;
    look(&world, 0).await;
    let before = until_running(&world, 1).await;
    until_state(&world, app.id, 1, CronRunState::Running).await;
    for _ in 0..2 {
        world.die().await;
        world.come_back().await;
        look(&world, 0).await;
        assert_eq!(until_running(&world, 1).await[0].id, before[0].id, "neither lost nor doubled");
    }
    // It ends while nobody is there.
    world.die().await;
    world.engine.crash(&before[0].id, 4);
    world.come_back().await;
    look(&world, 0).await;
    let run = until_state(&world, app.id, 1, CronRunState::Failed).await;
    assert_eq!(run.exit_status, Some(4));
    until("its container is gone", async || containers(&world).is_empty()).await;
    look(&world, 0).await;
    assert_eq!(runs(&world, app.id).await, [(1, "failed".to_owned())]);
}

#[tokio::test]
async fn a_crash_while_a_run_starts_is_made_good() {
    let mut world = world().await;
    let app = app(&world, &world.user.clone(), "hello", &[task("work", CronPolicy::Forbid)]).await;
    // At each of these calls the server dies; what is there then is seen from the engine.
    for (number, verb) in (1..).zip(["ensure_network", "create_container", "download", "start_container"]) {
        let calls = world.engine.calls(verb);
        world.engine.hang_from(verb, calls + 1);
        look(&world, i64::from(number) - 1).await;
        until("the call hangs", async || world.engine.calls(verb) > calls).await;
        until_state(&world, app.id, number, CronRunState::Starting).await;
        world.kill().await;
        world.engine.heal();
        world.come_back().await;
        look(&world, i64::from(number) - 1).await;
        let running = until_running(&world, 1).await;
        until_state(&world, app.id, number, CronRunState::Running).await;
        world.engine.crash(&running[0].id, 0);
        until_state(&world, app.id, number, CronRunState::Succeeded).await;
        until("its container is gone", async || containers(&world).is_empty()).await;
    }
    // Started, but the server died before it could tell.
    world.engine.hang_from("wait_container", world.engine.calls("wait_container") + 1);
    look(&world, 4).await;
    let before = until_running(&world, 1).await;
    is_starting_again(&world, app.id).await;
    world.kill().await;
    world.engine.heal();
    world.come_back().await;
    look(&world, 4).await;
    until_state(&world, app.id, 5, CronRunState::Running).await;
    assert_eq!(until_running(&world, 1).await[0].id, before[0].id);
}

/// Has the row of the app's one run that goes on say that it is starting.
async fn is_starting_again(world: &World, app: AppId) {
    let find = async || all_runs(world, app).await.into_iter().find(|run| run.state == CronRunState::Running);
    until("it runs", async || find().await.is_some()).await;
    cron::unstart(world.store.pool(), find().await.unwrap().id).await.unwrap();
}

#[tokio::test]
async fn what_the_engine_refuses_is_said_and_what_it_does_not_answer_is_tried_again() {
    let world = world().await;
    let app = app(&world, &world.user.clone(), "hello", &[task("work", CronPolicy::Forbid)]).await;
    world.engine.fail_next("start_container");
    look(&world, 0).await;
    let run = until_state(&world, app.id, 1, CronRunState::Failed).await;
    assert!(run.detail.starts_with("did not start: "), "{}", run.detail);
    says(&world, &app, "cron.1 ('work') did not start: ").await;
    until("nothing is left", async || containers(&world).is_empty()).await;

    world.engine.go_away();
    look(&world, 1).await;
    until_state(&world, app.id, 2, CronRunState::Waiting).await;
    world.engine.be_back();
    until("it runs", async || {
        look(&world, 1).await;
        runs(&world, app.id).await.contains(&(2, "running".to_owned()))
    })
    .await;
    // Somebody removes the container: it is known how that ended, and the run is not begun again.
    let [container] = &until_running(&world, 1).await[..] else { panic!("one runs") };
    crate::engine::Engine::remove_container(&*world.engine, &container.id).await.unwrap();
    until_state(&world, app.id, 2, CronRunState::Failed).await;
}

#[tokio::test]
async fn an_account_has_so_many_at_once_and_others_do_not_wait_for_it() {
    let world = world().await;
    let carol = person(&world, "carol").await;
    let mut tx = world.store.begin().await.unwrap();
    quotas::set(&mut *tx, world.user.id, QuotaKind::CronRuns, Some(Quota::AtMost(2))).await.unwrap();
    tx.commit().await.unwrap();
    let tasks: Vec<CronTask> = (0..5).map(|n| task(&format!("work-{n}"), CronPolicy::Allow)).collect();
    let many = app(&world, &world.user.clone(), "many", &tasks).await;
    let one = app(&world, &carol, "one", &tasks[..1]).await;
    look(&world, 0).await;
    let running = until_running(&world, 3).await;
    until_state(&world, one.id, 1, CronRunState::Running).await;
    says(&world, &many, "waits: bob has 2 of 2 scheduled commands at once").await;
    look(&world, 1).await;
    says(&world, &many, "is left out: cron.3 still waits for its turn").await;
    until_running(&world, 4).await;
    assert_eq!(world.platform.quotas(&world.user).await.unwrap().quotas.last().unwrap().used, 2);
    let mine = running.iter().find(|container| container.name.starts_with("many")).unwrap();
    world.engine.crash(&mine.id, 0);
    until("the next has its turn", async || {
        look(&world, 1).await;
        runs(&world, many.id).await.contains(&(3, "running".to_owned()))
    })
    .await;
    until_running(&world, 4).await;
}

#[tokio::test]
async fn the_end_of_the_app_and_another_owner_end_its_runs() {
    let world = world().await;
    let carol = person(&world, "carol").await;
    let given = app(&world, &world.user.clone(), "given", &[task("work", CronPolicy::Forbid)]).await;
    look(&world, 0).await;
    until_running(&world, 1).await;
    until_state(&world, given.id, 1, CronRunState::Running).await;
    let handle = world.platform.app(&world.user, "given").await.unwrap().as_owner().unwrap();
    world.platform.transfer_app(&handle, "carol").await.unwrap();
    look(&world, 0).await;
    let run = until_state(&world, given.id, 1, CronRunState::Cancelled).await;
    assert_eq!(run.detail, GIVEN_AWAY_TEXT);
    until("its container is gone", async || containers(&world).is_empty()).await;
    look(&world, 1).await;
    let run = until_state(&world, given.id, 2, CronRunState::Running).await;
    assert_eq!(run.owner_id, carol.id);
    release_with(&world, &given, &[]).await;

    let gone = app(&world, &world.user.clone(), "gone", &[task("work", CronPolicy::Allow)]).await;
    look(&world, 0).await;
    until_running(&world, 2).await;
    let handle = world.platform.app(&world.user, "gone").await.unwrap().as_owner().unwrap();
    world.platform.destroy_app(&handle).await.unwrap();
    let left = containers(&world);
    assert!(left.len() == 1 && left[0].name.starts_with("given"), "{left:?}");
    assert!(runs(&world, gone.id).await.is_empty());
}

const GIVEN_AWAY_TEXT: &str = "the app was given to somebody else";

#[tokio::test]
async fn the_schedule_is_that_of_the_current_release() {
    let world = world().await;
    let owner = world.user.clone();
    let (work, other) = (task("work", CronPolicy::Allow), task("other", CronPolicy::Allow));
    let app = app(&world, &owner, "hello", std::slice::from_ref(&work)).await;
    look(&world, 0).await;
    until_running(&world, 1).await;
    release_with(&world, &app, std::slice::from_ref(&other)).await;
    look(&world, 1).await;
    until_running(&world, 2).await;
    until("another task runs", async || all_runs(&world, app.id).await.iter().any(|run| run.task == other.id)).await;
    let first = until_state(&world, app.id, 1, CronRunState::Running).await;
    assert_eq!((first.task, first.version), (work.id.clone(), Some(2)), "what runs goes on");
    release_with(&world, &app, &[CronTask { is_paused: true, ..work.clone() }]).await;
    look(&world, 2).await;
    until_running(&world, 2).await;
    let handle = world.platform.app(&owner, "hello").await.unwrap();
    let refused = world.platform.run_cron_task(&handle, &work.id).await.unwrap_err();
    assert!(matches!(&refused, Error::Refused(text) if text.contains("is paused")), "{refused:?}");
    let missing = world.platform.run_cron_task(&handle, &other.id).await.unwrap_err();
    assert!(matches!(missing, Error::NotFound(_)), "{missing:?}");
}

#[tokio::test]
async fn a_run_that_is_asked_for_obeys_the_policy() {
    let world = world().await;
    let owner = world.user.clone();
    let forbid = task("work", CronPolicy::Forbid);
    let app = app(&world, &owner, "hello", std::slice::from_ref(&forbid)).await;
    let handle = world.platform.app(&owner, "hello").await.unwrap();
    let run = world.platform.run_cron_task(&handle, &forbid.id).await.unwrap();
    assert_eq!((run.number, run.scheduled_at), (1, None));
    until_running(&world, 1).await;
    until_state(&world, app.id, 1, CronRunState::Running).await;
    let refused = world.platform.run_cron_task(&handle, &forbid.id).await.unwrap_err();
    assert!(matches!(&refused, Error::Conflict(text) if text.contains("cron.1 still runs")), "{refused:?}");
    says(&world, &app, "slipway[cron]: bob runs 'work' now: cron.1").await;
    says(&world, &app, "cron.1 ('work', asked for) begins on v2").await;
}

#[tokio::test]
async fn what_was_missed_runs_once_and_not_after_a_day() {
    let mut world = world().await;
    world.engine.exit_on_start(IMAGE, 0);
    // Noon of these tests is a Monday.
    let weekly = CronTask { schedule: "1 12 * * mon".parse().unwrap(), ..task("weekly", CronPolicy::Allow) };
    let minutely = task("minutely", CronPolicy::Allow);
    let app = app(&world, &world.user.clone(), "hello", &[weekly, minutely]).await;
    world.die().await;
    world.come_back().await;
    let days = 3 * 24 * 60;
    look(&world, days).await;
    let run = until_state(&world, app.id, 1, CronRunState::Succeeded).await;
    assert_eq!((run.task.as_str(), run.scheduled_at), ("minutely", Some(at(days))));
    says(&world, &app, &format!("'minutely' was due at {}, too; it runs once, for {}", at(0), at(days))).await;
    says(&world, &app, &format!("'weekly' was due at {} and is left out: it is more than a day late", at(1))).await;
    look(&world, days).await;
    assert_eq!(runs(&world, app.id).await.len(), 1);
}
