//! A world for tests of rollouts: a real database, a real route table, and the engine in memory.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::*;
use crate::engine::ImageFetcher;
use crate::engine::memory::Memory;
use crate::logs::LogLimits;
use crate::model::{
    BuildHealth, BuildKind, ConfigValue, ConfigVars, InstanceState, OperationKind, OperationStatus, ProcessType,
    ReleaseStatus, User,
};
use crate::store::builds::{BuildResult, NewBuild};
use crate::store::users::NewUser;
use crate::store::{Sealer, apps, builds, configs, operations, releases, users};

pub const IMAGE: &str = "test/app:1";

/// An app with an image that answers on its port, over a real database and the engine in memory.
pub struct World {
    pub rollouts: Rollouts,
    pub engine: Arc<Memory>,
    pub store: Store,
    pub table: Table,
    pub app: App,
    user: User,
    pub stop: CancellationToken,
    logs: LogStore,
    supervisor: tokio::task::JoinSet<()>,
    /// Config values and health of the releases that are cut from now on.
    pub values: std::sync::Mutex<ConfigVars>,
    pub health: std::sync::Mutex<BuildHealth>,
    _folder: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
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
            may_be_first: true,
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
        let logs = LogStore::new(folder.path().join("logs"), LogLimits::default());
        let (rollouts, table, stop) = life(&store, &engine, &logs);
        table.add_app(&app.name);
        let (values, health, supervisor) = Default::default();
        Self { rollouts, engine, store, table, app, user, stop, logs, supervisor, values, health, _folder: folder }
    }

    /// Supervises until the world ends, or the server dies.
    pub fn supervise(&mut self) {
        self.supervisor.spawn(self.rollouts.clone().supervise());
    }

    /// Ends the supervision, and begins it anew.
    pub async fn supervise_anew(&mut self) {
        self.supervisor.shutdown().await;
        self.supervise();
    }

    /// The server is killed and started again: what it held in memory is gone. What goes on is for the caller to drop.
    pub async fn die(&mut self) {
        self.stop.cancel();
        self.supervisor.shutdown().await;
        (self.rollouts, self.table, self.stop) = life(&self.store, &self.engine, &self.logs);
        self.rollouts.resume().await.unwrap();
    }

    /// As a start of the server does: finishes the operation that had switched, undoes the one that had not; says which.
    pub async fn recover(&self) -> bool {
        let mut switched = true;
        for operation in operations::live(self.store.pool()).await.unwrap() {
            switched = operation.step == Step::Drain;
            self.rollouts.settle(&self.app).await.unwrap();
            operations::finish(self.store.pool(), &operation.id, OperationStatus::Failed, "").await.unwrap();
        }
        self.rollouts.sweep().await.unwrap();
        switched
    }

    /// The app's log, as one text.
    pub async fn log(&self) -> String {
        let lines = self.logs.tail(self.app.id, 1000).await.unwrap();
        lines.iter().map(|line| format!("{}\n", line.text)).collect()
    }

    /// Sets config values of the releases that are cut from now on.
    pub fn set(&self, values: &[(&str, &str)]) {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), ConfigValue::Text((*value).to_owned())));
        *self.values.lock().unwrap() = values.collect();
    }

    /// Cuts the next release of the image and yields what to roll out.
    pub async fn cut(&self) -> Target {
        self.cut_of(IMAGE).await
    }

    /// Cuts the next release of that image.
    pub async fn cut_of(&self, image: &str) -> Target {
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
            engine_image: image.to_owned(),
            fingerprint: None,
            slug: None,
            procfile: crate::model::Procfile::parse(b"web: serve\nworker: work").unwrap(),
            port: Some(5000),
            health: self.health.lock().unwrap().clone(),
            cron: Vec::new(),
        };
        builds::succeed(pool, id, &result).await.unwrap();
        let (values, limits) = (self.values.lock().unwrap().clone(), Default::default());
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
    pub async fn serving(&self) -> Target {
        let live = instances::of_app(self.store.pool(), self.app.id).await.unwrap().remove(0);
        assert_eq!(live.state, InstanceState::Live);
        self.rollouts.target_of(&live).await.unwrap().unwrap()
    }

    pub async fn journal(&self, kind: OperationKind) -> Journal {
        let operation = operations::begin(self.store.pool(), kind, &self.app, "bob").await.unwrap();
        Journal::new(self.store.clone(), operation)
    }

    /// Rolls a new release out; ends the operation either way, and removes the release if it failed, as the platform does.
    pub async fn release(&self, formation: &Formation) -> Result<(), RolloutError> {
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

    /// Rolls a target out as [`World::release`] does, and yields what was told.
    pub async fn roll(&self, target: &Target, formation: &Formation) -> (Result<(), RolloutError>, Vec<String>) {
        let mut journal = self.journal(OperationKind::Config).await;
        journal.step(Step::Release).await.unwrap();
        let told = std::sync::Mutex::new(Vec::new());
        let out = |event: Event<'_>| {
            if let Event::Line(line) = event {
                told.lock().unwrap().push(line.to_owned());
            }
        };
        let done = self.rollouts.run(&mut journal, target, formation, Scope::Replace, &out).await;
        if done.is_err() {
            releases::delete_pending(self.store.pool(), self.app.id).await.unwrap();
        }
        journal.finish(OperationStatus::Succeeded, "").await.unwrap();
        (done, told.into_inner().unwrap())
    }

    /// Everything that a person could notice: what runs, what is recorded, what is routed to, what serves.
    pub async fn observe(&self) -> (Vec<String>, Vec<String>, Vec<InstanceId>, Option<i64>) {
        let rows = instances::of_app(self.store.pool(), self.app.id).await.unwrap();
        let mut rows: Vec<String> = rows.iter().map(|i| format!("{} {} {}", i.id, i.label(), i.state)).collect();
        rows.sort();
        let mut upstreams = self.table.upstreams(&self.app.name);
        upstreams.sort();
        let latest = releases::latest(self.store.pool(), self.app.id).await.unwrap();
        (self.engine.running_now(), rows, upstreams, latest.map(|release| release.version))
    }
}

/// One life of the server.
fn life(store: &Store, engine: &Arc<Memory>, logs: &LogStore) -> (Rollouts, Table, CancellationToken) {
    let (table, stop) = (Table::new("localhost"), CancellationToken::new());
    let collector = Collector::new(engine.clone(), logs.clone(), TaskTracker::new(), stop.clone());
    let settings = RolloutSettings { boot_timeout: Duration::from_millis(400), ..tests_support::settings() };
    let parts = (store.clone(), ImageFetcher::for_tests(engine.clone()), table.clone(), logs.clone());
    (Rollouts::new(parts.0, parts.1, parts.2, parts.3, collector, settings, stop.clone()), table, stop)
}

pub fn formation(web: u32, worker: u32) -> Formation {
    Formation([(ProcessType::web(), web), ("worker".parse().unwrap(), worker)].into())
}

/// Waits for what happens by itself.
pub async fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(std::time::Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
