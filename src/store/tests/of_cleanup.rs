//! What clean-up has to leave alone, and rebases.

use super::*;

on_both!(
    builds_that_a_release_an_instance_or_an_operation_needs_are_kept,
    images_and_last_builds_are_told_by_app,
    a_rebase_is_done_once_for_each_app,
);

/// A finished build whose image is called `name`, with the same text as its slug.
async fn build(db: &Database, app: &App, kind: BuildKind, name: &str) -> BuildId {
    let id = BuildId::new();
    let new = builds::NewBuild {
        app: app.id,
        owner: app.owner_id,
        kind,
        image: app.name.to_string(),
        engine_image: String::new(),
        commit: None,
        dockerfile: String::new(),
    };
    builds::insert(db.store.pool(), id, &new).await.unwrap();
    let result = builds::BuildResult {
        engine_image: name.to_owned(),
        fingerprint: None,
        slug: Some(name.to_owned()),
        procfile: Procfile::default(),
        port: None,
        health: Default::default(),
        cron: Vec::new(),
    };
    builds::succeed(db.store.pool(), id, &result).await.unwrap();
    id
}

async fn kept(db: &Database, releases: i64, unreleased: Duration, except: Option<&OperationId>) -> Vec<String> {
    let found = super::kept::builds(db.store.pool(), releases, unreleased, except).await.unwrap();
    let mut names: Vec<String> = found.into_iter().map(|build| build.engine_image).collect();
    names.sort();
    names
}

async fn builds_that_a_release_an_instance_or_an_operation_needs_are_kept(db: Database) {
    let alice = user(&db, "alice").await;
    let (app, other) = (app(&db, &alice, "hello").await, app(&db, &alice, "other").await);
    let config = config(&db, &app).await;
    let mut made = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let id = build(&db, &app, BuildKind::Slug, name).await;
        let mut tx = db.store.begin().await.unwrap();
        let new = releases::NewRelease { build: Some(id), ..new_release(&app, config, ReleaseStatus::Deployed) };
        made.push(releases::insert(&mut tx, &new).await.unwrap());
        tx.commit().await.unwrap();
    }
    build(&db, &other, BuildKind::Slug, "unreleased").await;
    tick().await;
    let (never, hour) = (Duration::ZERO, Duration::from_secs(3600));
    assert_eq!(kept(&db, 2, never, None).await, ["c", "d"]);
    assert_eq!(kept(&db, 9, never, None).await, ["a", "b", "c", "d"]);
    assert_eq!(kept(&db, 1, hour, None).await, ["d", "unreleased"]);
    instances::insert(db.store.pool(), &new_instance(&app, &made[1], "web", 1)).await.unwrap();
    assert_eq!(kept(&db, 1, never, None).await, ["b", "d"]);
    let pool = db.store.pool();
    let operation = operations::begin(pool, OperationKind::CleanUp, &app, "slipway").await.unwrap();
    assert_eq!(kept(&db, 1, never, None).await, ["a", "b", "c", "d"]);
    assert_eq!(kept(&db, 1, never, Some(&operation.id)).await, ["b", "d"]);
    operations::finish(pool, &operation.id, OperationStatus::Succeeded, "").await.unwrap();
    assert_eq!(kept(&db, 1, never, None).await, ["b", "d"]);
    assert_eq!(instances::ids(pool).await.unwrap().len(), 1);
}

async fn images_and_last_builds_are_told_by_app(db: Database) {
    let alice = user(&db, "alice").await;
    let (app, other) = (app(&db, &alice, "hello").await, app(&db, &alice, "other").await);
    build(&db, &app, BuildKind::Slug, "slug").await;
    tick().await;
    let newest = build(&db, &app, BuildKind::Image, "image").await;
    let pool = db.store.pool();
    assert_eq!(super::kept::names_of_images(pool).await.unwrap(), [(app.id, "image".to_owned())]);
    let last = super::kept::last_builds(pool).await.unwrap();
    let newest = builds::get(pool, newest).await.unwrap().unwrap();
    assert_eq!((last.get(&app.id), last.get(&other.id)), (Some(&newest.created_at), None));
}

async fn a_rebase_is_done_once_for_each_app(db: Database) {
    let alice = user(&db, "alice").await;
    let (app, other) = (app(&db, &alice, "hello").await, app(&db, &alice, "other").await);
    let pool = db.store.pool();
    assert_eq!(rebases::next(pool).await.unwrap(), None);
    let first = rebases::request(pool).await.unwrap();
    tick().await;
    let second = rebases::request(pool).await.unwrap();
    assert_eq!(rebases::next(pool).await.unwrap().as_ref(), Some(&first));
    rebases::record(pool, &first, &app, RebaseOutcome::Rebased, "v3").await.unwrap();
    rebases::record(pool, &first, &app, RebaseOutcome::Failed, "again").await.unwrap();
    tick().await;
    rebases::record(pool, &first, &other, RebaseOutcome::Failed, "no").await.unwrap();
    apps::delete(pool, other.id).await.unwrap();
    let results = rebases::results(pool, &first).await.unwrap();
    let said: Vec<_> = results.iter().map(|it| (it.app_name.as_str(), it.outcome, it.detail.as_str())).collect();
    assert_eq!(said, [("hello", RebaseOutcome::Rebased, "v3"), ("other", RebaseOutcome::Failed, "no")]);
    assert!(!rebases::is_finished(pool, &first).await.unwrap());
    rebases::finish(pool, &first).await.unwrap();
    assert!(rebases::is_finished(pool, &first).await.unwrap());
    assert_eq!(rebases::next(pool).await.unwrap().as_ref(), Some(&second));
    tick().await;
    rebases::delete_finished(pool, Duration::from_secs(3600)).await.unwrap();
    assert_eq!(rebases::results(pool, &first).await.unwrap().len(), 2);
    rebases::delete_finished(pool, Duration::ZERO).await.unwrap();
    assert!(rebases::results(pool, &first).await.unwrap().is_empty());
    assert_eq!(rebases::next(pool).await.unwrap(), Some(second));
}
