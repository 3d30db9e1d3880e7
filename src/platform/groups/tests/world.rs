//! A platform with a real database and the engine in memory, which can die and come back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::build::{BuildLogs, BuildSettings, Builder, FingerprintKey, SlugStore, Stack};
use crate::engine::ImageFetcher;
use crate::engine::memory::Memory;
use crate::git::Repositories;
use crate::logs::{Collector, DrainSettings, LogDrains, LogLimits, LogStore};
use crate::model::{GroupId, GroupInstance, GroupState, InstanceId, Registration, User};
use crate::platform::{
    AutomaticCertificates, GroupDetail, NewGroup, Parts, Platform, PlatformSettings, RoutedSettings, ServedCertificates,
};
use crate::rollout::{RolloutSettings, Rollouts};
use crate::route::{Certificates, Challenges, Table, tls};
use crate::store::{Sealer, Store, users};

/// An image that the engine has; it exposes port 5000, and its containers run until something ends them.
pub const IMAGE: &str = "example/hello:1.0";

pub struct World {
    pub platform: Platform,
    pub engine: Arc<Memory>,
    pub store: Store,
    pub user: User,
    stop: CancellationToken,
    tracker: TaskTracker,
    loops: JoinSet<()>,
    dir: TempDir,
}

impl World {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", dir.path().join("db").display());
        let store = Store::open(&url, Sealer::new([7; 32])).await.unwrap();
        let new = users::NewUser {
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
        let engine = Arc::new(Memory::default());
        engine.add_image(IMAGE, &[5000]);
        let (platform, stop, tracker) = life(&dir, &store, &engine);
        let mut world = Self { platform, engine, store, user, stop, tracker, loops: JoinSet::new(), dir };
        world.begin_loops();
        world
    }

    fn begin_loops(&mut self) {
        let rollouts = self.platform.rollouts();
        self.loops.spawn(rollouts.clone().watch_groups());
        self.loops.spawn(rollouts.clone().supervise());
    }

    /// Ends all that goes on. As for a crash, what is under way is left as it is.
    pub async fn die(&mut self) {
        self.stop.cancel();
        self.loops.shutdown().await;
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// The same without a wait for calls of the engine that hang: they never come back.
    pub async fn kill(&mut self) {
        self.stop.cancel();
        self.loops.shutdown().await;
        self.tracker.close();
    }

    pub async fn come_back(&mut self) {
        (self.platform, self.stop, self.tracker) = life(&self.dir, &self.store, &self.engine);
        self.platform.recover().await.unwrap();
        self.begin_loops();
    }

    /// Makes a group of the image and waits until it runs.
    pub async fn running(&self, name: &str, wanted: u32) -> GroupId {
        let new = NewGroup { name: Some(name.to_owned()), wanted, ..new_group() };
        let id = self.platform.create_group(&self.user, new).await.unwrap().view.group.id;
        self.until(id, GroupState::Running).await;
        id
    }

    pub async fn detail(&self, id: GroupId) -> GroupDetail {
        self.platform.group(&self.user, id).await.unwrap()
    }

    /// Waits until a group is in a state.
    pub async fn until(&self, id: GroupId, wanted: GroupState) -> GroupDetail {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let detail = self.detail(id).await;
            if detail.view.state == wanted {
                return detail;
            }
            assert!(Instant::now() < deadline, "waited in vain until it is {wanted}: {detail:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn one(&self, id: InstanceId) -> GroupInstance {
        self.platform.group_instance(&self.user, id).await.unwrap().view.instance
    }

    /// Waits until an instance is as it should be.
    pub async fn until_one(&self, id: InstanceId, what: &str, is: impl Fn(&GroupInstance) -> bool) -> GroupInstance {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let one = self.one(id).await;
            if is(&one) {
                return one;
            }
            assert!(Instant::now() < deadline, "waited in vain until {what}: {one:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the engine has been asked for one of these so often in all.
    pub async fn until_calls(&self, verbs: &[&str], wanted: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.calls(verbs) < wanted {
            assert!(Instant::now() < deadline, "waited in vain for {wanted} calls of {verbs:?}: {}", self.calls(verbs));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// How often the engine was asked for one of these, in vain or not.
    pub fn calls(&self, verbs: &[&str]) -> usize {
        verbs.iter().map(|verb| self.engine.calls(verb)).sum()
    }

    /// The engine's id of an instance's container.
    pub fn container(&self, id: InstanceId) -> Option<String> {
        let id = id.to_string();
        let of = |name: &String| name == &id;
        let all = self.engine.containers_now().into_iter();
        all.filter(|it| it.labels.get("io.slipway.instance").is_some_and(of)).map(|it| it.id).next()
    }
}

/// A group of the image.
pub fn new_group() -> NewGroup {
    NewGroup { image: IMAGE.to_owned(), wanted: 1, ..NewGroup::default() }
}

/// One life of the server.
fn life(dir: &TempDir, store: &Store, engine: &Arc<Memory>) -> (Platform, CancellationToken, TaskTracker) {
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    let logs = LogStore::new(dir.path().join("logs"), LogLimits::default());
    let collector = Collector::new(engine.clone(), logs.clone(), tracker.clone(), stop.clone());
    let table = Table::new("example.com");
    let parts = (store.clone(), ImageFetcher::for_tests(engine.clone()), table.clone(), logs.clone());
    let rollouts = Rollouts::new(parts.0, parts.1, parts.2, parts.3, collector, rollout_settings(), stop.clone());
    let images = ImageFetcher::for_tests(engine.clone());
    let builder = Builder::new(images.clone(), build_settings(dir), "test".to_owned(), tracker.clone());
    let (certificate, key) = tls::self_signed("example.com").unwrap();
    let certificates = Certificates::new(tls::certified_key(&certificate, &key).unwrap(), Challenges::default());
    let platform = Platform::new(Parts {
        store: store.clone(),
        engine: engine.clone(),
        images,
        repositories: Repositories::new(dir.path().join("repositories")),
        builder,
        rollouts,
        drains: LogDrains::new(logs.clone(), DrainSettings::default(), stop.clone()),
        logs,
        certificates: ServedCertificates::new(certificates),
        automatic: AutomaticCertificates::new(None, Challenges::default()),
        routing: RoutedSettings::new(table),
        settings: PlatformSettings {
            server_id: "test".to_owned(),
            domain: "example.com".to_owned(),
            api_url: "http://slipway.example.com".to_owned(),
            sizes: Vec::new(),
            registration: Registration::Open,
            builder_key: None,
            max_push_bytes: 1 << 20,
            quotas: crate::model::Quotas::default(),
            instance_memory: 512 << 20,
            port_range: 1024..=65_535,
            own_ports: Vec::new(),
            keep_releases: 10,
            build_cache_bytes: 1 << 30,
            runtime_bytes: 1 << 30,
            url_suffix: String::new(),
        },
        tracker: tracker.clone(),
        stop: stop.clone(),
        owned: crate::platform::OwnedOperations::default(),
        callers: crate::platform::Callers::default(),
        running_builds: crate::platform::RunningBuilds::default(),
        disk_use: crate::platform::DiskUse::default(),
        throttle: crate::platform::Throttle::default(),
        cleanup_due: crate::platform::CleanupDue::default(),
        cron: crate::platform::CronRuns::default(),
    });
    (platform, stop, tracker)
}

fn rollout_settings() -> RolloutSettings {
    RolloutSettings {
        server_id: "test".to_owned(),
        domain: "example.com".to_owned(),
        boot_timeout: Duration::from_secs(5),
        settle: Duration::from_millis(20),
        drain_timeout: Duration::from_secs(5),
        upgrade_grace: Duration::from_secs(1),
        stop_grace: Duration::from_millis(200),
        instance_memory: 64 << 20,
        instance_pids: 64,
        run_timeout: Duration::from_secs(60),
        watch_period: Duration::from_millis(200),
        restart_wait: Duration::from_millis(50),
        port_range: 49_153..=65_535,
        publish_addr: std::net::Ipv4Addr::UNSPECIFIED.into(),
        quotas: crate::model::Quotas::default(),
    }
}

fn build_settings(dir: &TempDir) -> BuildSettings {
    BuildSettings {
        memory_bytes: 64 << 20,
        cpu_shares: 256,
        pids: 64,
        time_limit: Duration::from_secs(10),
        slug_bytes: 1 << 20,
        ca_bundle: None,
        image_bytes: 10 << 30,
        outbound: crate::outbound::Outbound::default(),
        min_free_bytes: 0,
        at_once: std::num::NonZeroUsize::MIN,
        logs: BuildLogs::open(dir.path().join("build-logs")).unwrap(),
        slugs: SlugStore::open(dir.path().join("slugs")).unwrap(),
        stack: Stack::default(),
        fingerprint_key: FingerprintKey([7; 32]),
        frontends: Vec::new(),
        runtime_mirrors: Default::default(),
    }
}
