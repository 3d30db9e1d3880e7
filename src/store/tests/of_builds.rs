//! Builds.

use super::*;

on_both!(
    a_build_is_pending_until_it_yields_something,
    unfinished_builds_fail_and_finished_ones_do_not,
    only_a_successful_build_of_the_same_app_is_reused,
    builds_are_listed_newest_first,
    a_slug_may_be_shared_by_apps,
);

async fn build(db: &Database, app: &App) -> BuildId {
    let (id, commit) = (BuildId::new(), Some("0123456789abcdef".to_owned()));
    let (kind, image) = (BuildKind::Slug, app.name.to_string());
    let new = builds::NewBuild {
        app: app.id,
        owner: app.owner_id,
        kind,
        image,
        engine_image: String::new(),
        commit,
        dockerfile: String::new(),
    };
    builds::insert(db.store.pool(), id, &new).await.unwrap();
    id
}

/// A check in `app.json` and one of the image.
fn health() -> BuildHealth {
    let check = |kind, question| vec![Check::new(kind, question)];
    let app = check(CheckKind::Liveness, Question::Http(HttpQuestion::get("/up")));
    let image = check(CheckKind::Startup, Question::Command(vec!["look".to_owned(), "it's \"x\"".to_owned()]));
    BuildHealth { app: [("web".parse().unwrap(), app)].into(), image }
}

fn result(fingerprint: &str) -> builds::BuildResult {
    builds::BuildResult {
        engine_image: "slipway/hello:1".to_owned(),
        fingerprint: Some(fingerprint.to_owned()),
        slug: Some(format!("sha256:{fingerprint}")),
        procfile: Procfile::parse(b"web: ./server -p $PORT\nworker: ./work").unwrap(),
        port: Some(65535),
        health: health(),
        cron: vec![CronTask {
            id: "backup".parse().unwrap(),
            command: "./backup".to_owned(),
            schedule: "@daily".parse().unwrap(),
            zone: Zone::default(),
            policy: CronPolicy::Forbid,
            is_paused: false,
        }],
    }
}

async fn succeed(db: &Database, id: BuildId, result: &builds::BuildResult) {
    builds::succeed(db.store.pool(), id, result).await.unwrap();
}

async fn get(db: &Database, id: BuildId) -> Build {
    builds::get(db.store.pool(), id).await.unwrap().unwrap()
}

async fn a_build_is_pending_until_it_yields_something(db: Database) {
    let app = app(&db, &user(&db, "alice").await, "hello").await;
    let id = build(&db, &app).await;
    let pending = get(&db, id).await;
    assert_eq!((pending.status, pending.kind), (BuildStatus::Pending, BuildKind::Slug));
    assert_eq!((pending.app_id, pending.owner_id, pending.owner.as_str()), (app.id, app.owner_id, "alice"));
    assert_eq!((pending.image.as_str(), pending.engine_image.as_str()), ("hello", ""));
    assert_eq!(pending.commit.as_deref(), Some("0123456789abcdef"));
    assert_eq!((pending.fingerprint, pending.slug, pending.port), (None, None, None));
    assert!(pending.procfile.is_empty() && pending.health.is_empty());

    tick().await;
    let expect = result("f");
    succeed(&db, id, &expect).await;
    let done = get(&db, id).await;
    assert_eq!((done.status, done.engine_image.as_str()), (BuildStatus::Succeeded, "slipway/hello:1"));
    assert_eq!((done.fingerprint, done.slug, done.port), (expect.fingerprint, expect.slug, expect.port));
    assert_eq!((done.procfile, done.health, done.cron), (expect.procfile, expect.health, expect.cron));
    assert!(done.updated_at > pending.updated_at && done.created_at == pending.created_at);

    succeed(&db, id, &builds::BuildResult { fingerprint: None, slug: None, port: None, ..result("f") }).await;
    let done = get(&db, id).await;
    assert_eq!((done.fingerprint, done.slug, done.port), (None, None, None));
    assert!(builds::get(db.store.pool(), BuildId::new()).await.unwrap().is_none());
}

async fn unfinished_builds_fail_and_finished_ones_do_not(db: Database) {
    let alice = user(&db, "alice").await;
    let (app, other) = (app(&db, &alice, "hello").await, app(&db, &alice, "other").await);
    let (done, pending, others) = (build(&db, &app).await, build(&db, &app).await, build(&db, &other).await);
    succeed(&db, done, &result("f")).await;
    builds::fail_pending(db.store.pool(), app.id).await.unwrap();
    assert_eq!(get(&db, done).await.status, BuildStatus::Succeeded);
    assert_eq!(get(&db, pending).await.status, BuildStatus::Failed);
    assert_eq!(get(&db, others).await.status, BuildStatus::Pending);
}

async fn only_a_successful_build_of_the_same_app_is_reused(db: Database) {
    let alice = user(&db, "alice").await;
    let (app, other) = (app(&db, &alice, "hello").await, app(&db, &alice, "other").await);
    let find = async |app: &App| {
        let found = builds::by_fingerprint(db.store.pool(), app.id, "f").await.unwrap();
        found.map(|build| build.id)
    };
    let mut newest = None;
    for _ in 0..3 {
        tick().await;
        let id = build(&db, &app).await;
        assert_eq!(find(&app).await, newest, "a pending one does not count");
        succeed(&db, id, &result("f")).await;
        newest = Some(id);
        assert_eq!(find(&app).await, newest);
    }
    succeed(&db, build(&db, &app).await, &result("g")).await;
    sqlx::query("UPDATE builds SET fingerprint = 'f' WHERE status <> 'succeeded'")
        .execute(db.store.pool())
        .await
        .unwrap();
    assert_eq!(find(&app).await, newest);
    assert_eq!(find(&other).await, None);
}

async fn builds_are_listed_newest_first(db: Database) {
    let alice = user(&db, "alice").await;
    let (app, other) = (app(&db, &alice, "hello").await, app(&db, &alice, "other").await);
    let mut expect = Vec::new();
    for _ in 0..3 {
        tick().await;
        expect.insert(0, build(&db, &app).await);
    }
    let pool = db.store.pool();
    let list = async |page| {
        let builds = builds::list(pool, app.id, page).await.unwrap();
        builds.into_iter().map(|build| build.id).collect::<Vec<_>>()
    };
    assert_eq!(list(Page::ALL).await, expect);
    assert_eq!(list(Page { offset: 1, limit: 1 }).await, expect[1..2]);
    assert_eq!(builds::count(pool, app.id).await.unwrap(), 3);
    assert_eq!(builds::count(pool, other.id).await.unwrap(), 0);
}

async fn a_slug_may_be_shared_by_apps(db: Database) {
    let alice = user(&db, "alice").await;
    let (app, other) = (app(&db, &alice, "hello").await, app(&db, &alice, "other").await);
    let is_shared = async |app: &App| builds::is_slug_shared(db.store.pool(), "sha256:f", app.id).await.unwrap();
    for _ in 0..2 {
        succeed(&db, build(&db, &app).await, &result("f")).await;
    }
    assert!(!is_shared(&app).await, "an app does not share with itself");
    assert!(is_shared(&other).await);
    succeed(&db, build(&db, &other).await, &result("f")).await;
    assert!(is_shared(&app).await);
}
