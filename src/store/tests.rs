//! The store suite: every test body runs on SQLite and on PostgreSQL, each time with a database of its own.

mod databases;
mod of_api_keys;
mod of_apps;
mod of_automatic_certificates;
mod of_build_records;
mod of_builds;
mod of_cleanup;
mod of_cron;
mod of_database;
mod of_domains;
mod of_groups;
mod of_instances;
mod of_log_drains;
mod of_operations;
mod of_people;
mod of_releases;
mod of_sharing;

use std::time::{Duration, Instant};

use databases::{Database, on_both};

use super::*;
use crate::model::*;

/// Waits for the clock's next millisecond, so that what follows is later in every order by time.
async fn tick() {
    let (begin, deadline) = (Timestamp::now(), Instant::now() + Duration::from_secs(5));
    while Timestamp::now() <= begin {
        assert!(Instant::now() < deadline, "the clock stands still");
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

fn new_user(name: &str) -> users::NewUser {
    users::NewUser {
        username: name.parse().unwrap(),
        email: format!("{name}@example.test"),
        first_name: "First".to_owned(),
        last_name: "Last".to_owned(),
        password_hash: "$argon2id$".to_owned(),
        is_superuser: false,
        may_be_first: true,
    }
}

/// Registers a user.
async fn user(db: &Database, name: &str) -> User {
    let mut tx = db.store.begin().await.unwrap();
    let user = users::insert(&mut tx, db.store.sealer(), &new_user(name)).await.unwrap();
    tx.commit().await.unwrap();
    user
}

/// Creates an app.
async fn app(db: &Database, owner: &User, name: &str) -> App {
    let id = AppId::new();
    apps::insert(db.store.pool(), id, &name.parse().unwrap(), owner.id).await.unwrap();
    apps::by_id(db.store.pool(), id).await.unwrap().unwrap()
}

/// Stores a config without values.
async fn config(db: &Database, app: &App) -> ConfigId {
    let (values, limits) = (ConfigVars::new(), Limits::default());
    configs::insert(db.store.pool(), db.store.sealer(), app.id, app.owner_id, &values, &limits).await.unwrap()
}

/// Cuts a release of that config.
async fn release(db: &Database, app: &App, config: ConfigId, status: ReleaseStatus) -> Release {
    let mut tx = db.store.begin().await.unwrap();
    let new = new_release(app, config, status);
    let release = releases::insert(&mut tx, &new).await.unwrap();
    tx.commit().await.unwrap();
    release
}

fn new_release(app: &App, config: ConfigId, status: ReleaseStatus) -> releases::NewRelease {
    let summary = "alice did something".to_owned();
    releases::NewRelease { app: app.id, owner: app.owner_id, build: None, config, summary, status }
}

/// A planned instance that is not stored yet.
fn new_instance(app: &App, release: &Release, process: &str, number: u32) -> Instance {
    let now = Timestamp::now();
    Instance {
        id: InstanceId::new(),
        app_id: app.id,
        release_id: release.id,
        version: release.version,
        process: process.parse().unwrap(),
        number,
        state: InstanceState::Planned,
        operation_id: OperationId::new(),
        address: None,
        created_at: now,
        updated_at: now,
    }
}
