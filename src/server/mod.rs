//! Composition root: builds everything, starts the listeners, owns the order of shutdown.

mod access;
mod keys;
mod listeners;
mod push_backend;
mod ready;

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::build::{BuildLogs, BuildSettings, Builder, FingerprintKey, SlugStore, Stack};
use crate::config::{Acme, Config};
use crate::engine::Engine;
use crate::engine::docker::Docker;
use crate::git::Repositories;
use crate::logs::{Collector, LogLimits, LogStore};
use crate::platform::{
    AcmeSettings, AutomaticCertificates, Callers, CleanupDue, OwnedOperations, Parts, Platform, PlatformSettings,
    RoutedSettings, RunningBuilds, ServedCertificates, Throttle,
};
use crate::rollout::{RolloutSettings, Rollouts};
use crate::route::{self, Certificates, RouterConfig, Table};
use crate::store::{Sealer, Store, random_hex, settings};

use listeners::Listeners;

/// Largest slug, compressed.
const SLUG_BYTES: u64 = 500 << 20;
/// How long an instance without a port must stay up to count as healthy.
const SETTLE: Duration = Duration::from_secs(2);
/// Between two comparisons of wanted with actual instances.
const WATCH_PERIOD: Duration = Duration::from_secs(5);
/// The first wait before a dead instance is started again.
const RESTART_WAIT: Duration = Duration::from_secs(1);
/// What pushes left in repositories goes at the start when it is so old: a git that outlived a killed server is still
/// finishing for a moment.
const SWEPT_AGE: Duration = Duration::from_secs(10);
/// How long running operations may take to reach their end, or a recorded step, when the server stops.
const OPERATIONS_GRACE: Duration = Duration::from_secs(60);
/// How long everything else may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// What runs in the background, and what stops it.
struct Stops {
    /// The doors: no new pushes and API calls; running builds are cancelled.
    doors: CancellationToken,
    /// The router.
    ingress: CancellationToken,
    /// Supervision, log collection and other loops.
    background: CancellationToken,
}

/// What the router works with, and the platform changes.
struct Ingress {
    table: Table,
    certificates: Certificates,
    logs: LogStore,
}

/// Runs the server until SIGTERM or SIGINT, or until a listener dies. Running apps are not touched by its end.
///
/// # Errors
/// Before anything is served: whatever is missing or taken, by name. Afterwards: the listener that died.
pub async fn serve(config: Config) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    raise_file_limit();
    let _lock = own_data_dir(&config.data_dir)?;
    let store = open_store(&config).await?;
    let listeners = Listeners::bind(&config).await?;
    let stops = Stops {
        doors: CancellationToken::new(),
        ingress: CancellationToken::new(),
        background: CancellationToken::new(),
    };
    let tracker = TaskTracker::new();
    let table = Table::new(&config.domain);
    let limits = LogLimits { bytes_per_app: config.log_bytes_per_app, ..LogLimits::default() };
    let ingress = Ingress {
        certificates: listeners::own_certificate(&config, &store, &table)?,
        table,
        logs: LogStore::new(config.data_dir.join("logs"), limits),
    };
    let platform = compose(&config, &store, &listeners, &ingress, &stops, &tracker).await?;
    platform.recover().await.context("picking up what an earlier run left")?;
    let mut serving = JoinSet::new();
    start_background(&platform, &mut serving);
    let ready = listeners.ready();
    listeners.serve(&config, &store, &platform, ingress, &stops, &tracker, &mut serving).await?;
    if let Some(file) = &config.ready_file {
        ready::write(file, &ready)?;
    }
    tracing::info!(api = %ready.api, ssh = %ready.ssh, http = %ready.http, https = %ready.https, "serving");
    let ended = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        Some(ended) = serving.join_next() => ended.unwrap_or_else(|panic| Err(panic.into())),
    };
    shut_down(stops, serving, tracker, &store).await;
    if let Some(file) = &config.ready_file {
        let _gone_already = fs::remove_file(file);
    }
    ended
}

/// Doors first, then what is in progress, then the tenants' traffic, the database last.
async fn shut_down(stops: Stops, mut serving: JoinSet<Result<()>>, tracker: TaskTracker, store: &Store) {
    tracing::info!("stopping");
    stops.doors.cancel();
    tracker.close();
    if timeout(OPERATIONS_GRACE, tracker.wait()).await.is_err() {
        tracing::warn!(grace_s = OPERATIONS_GRACE.as_secs(), "operations still run; the next start settles them");
    }
    stops.ingress.cancel();
    stops.background.cancel();
    let rest = async { while serving.join_next().await.is_some() {} };
    if timeout(RouterConfig::default().drain + GRACE, rest).await.is_err() {
        tracing::warn!("grace period over, stopping anyway");
    }
    if timeout(GRACE, store.close()).await.is_err() {
        tracing::warn!("the database does not close, stopping anyway");
    }
}

fn start_background(platform: &Platform, serving: &mut JoinSet<Result<()>>) {
    let (supervisor, watcher) = (platform.rollouts().clone(), platform.clone());
    serving.spawn(async move {
        supervisor.supervise().await;
        Ok(())
    });
    serving.spawn(async move {
        watcher.watch().await;
        Ok(())
    });
    let (cleaner, rebaser, keeper) = (platform.clone(), platform.clone(), platform.clone());
    serving.spawn(async move {
        keeper.keep_certificates().await;
        Ok(())
    });
    serving.spawn(async move {
        cleaner.clean_up_regularly().await;
        Ok(())
    });
    serving.spawn(async move {
        rebaser.rebase_on_request().await;
        Ok(())
    });
}

/// Opens the database of an installation with its secrets key; for the server and for the commands on its host.
///
/// # Errors
/// Says what is wrong with the data directory, the key or the database.
pub async fn open_store(config: &Config) -> Result<Store> {
    create_private_dir(&config.data_dir)?;
    let sealer = Sealer::load_or_create(&config.data_dir.join("secrets.key"))?;
    let url = config.database_url.as_str();
    Store::open(url, sealer).await.with_context(|| format!("opening the database {}", config.database_url))
}

/// Marks everything that this installation makes in the engine.
///
/// # Errors
/// When the database fails.
pub async fn server_id(store: &Store) -> Result<String> {
    Ok(settings::get_or_insert(store.pool(), "server_id", &random_hex(8)).await?)
}

/// Builds all parts and ties them together.
async fn compose(
    config: &Config,
    store: &Store,
    listeners: &Listeners,
    ingress: &Ingress,
    stops: &Stops,
    tracker: &TaskTracker,
) -> Result<Platform> {
    let Ingress { table, certificates, logs } = ingress;
    let server_id = server_id(store).await?;
    let docker = Docker::connect(&config.docker_host).await.context("type `slipway doctor` to see what is missing")?;
    let engine: Arc<dyn Engine> = Arc::new(docker);
    let data = &config.data_dir;
    let collector = Collector::new(engine.clone(), logs.clone(), TaskTracker::new(), stops.background.clone());
    let rollouts = Rollouts::new(
        store.clone(),
        engine.clone(),
        table.clone(),
        logs.clone(),
        collector,
        rollout_settings(config, &server_id),
        stops.background.clone(),
    );
    let builder = Builder::new(engine.clone(), build_settings(config, store)?, server_id.clone(), tracker.clone());
    let repositories = Repositories::new(data.join("repositories"));
    let sweeping = repositories.clone();
    let swept = tokio::task::spawn_blocking(move || sweeping.sweep(SWEPT_AGE)).await?;
    swept.context("clearing what earlier pushes left")?;
    Ok(Platform::new(Parts {
        store: store.clone(),
        engine,
        repositories,
        builder,
        rollouts,
        logs: logs.clone(),
        certificates: ServedCertificates::new(certificates.clone()),
        automatic: AutomaticCertificates::new(config.acme.clone().map(acme_settings), table.challenges().clone()),
        routing: RoutedSettings::new(table.clone()),
        settings: PlatformSettings {
            server_id,
            domain: config.domain.clone(),
            registration: config.registration,
            builder_key: config.builder_key.clone(),
            max_push_bytes: config.max_push_bytes,
            keep_releases: config.keep_releases,
            build_cache_bytes: config.build_cache_bytes,
            url_suffix: listeners.url_suffix(),
        },
        tracker: tracker.clone(),
        stop: stops.doors.clone(),
        owned: OwnedOperations::default(),
        callers: Callers::default(),
        running_builds: RunningBuilds::default(),
        throttle: Throttle::default(),
        cleanup_due: CleanupDue::default(),
    }))
}

fn rollout_settings(config: &Config, server_id: &str) -> RolloutSettings {
    RolloutSettings {
        server_id: server_id.to_owned(),
        domain: config.domain.clone(),
        boot_timeout: config.boot_timeout,
        settle: SETTLE,
        drain_timeout: config.drain_timeout,
        upgrade_grace: config.websocket_grace,
        stop_grace: config.stop_grace,
        instance_memory: config.instance_memory_bytes,
        instance_pids: config.instance_pids,
        run_timeout: config.run_timeout,
        watch_period: WATCH_PERIOD,
        restart_wait: RESTART_WAIT,
    }
}

fn acme_settings(acme: Acme) -> AcmeSettings {
    AcmeSettings { directory: acme.directory, email: acme.email, challenge: acme.challenge }
}

fn build_settings(config: &Config, store: &Store) -> Result<BuildSettings> {
    Ok(BuildSettings {
        memory_bytes: config.build_memory_bytes,
        cpu_shares: config.build_cpu_shares,
        pids: config.build_pids,
        time_limit: config.build_timeout,
        slug_bytes: SLUG_BYTES,
        image_bytes: config.build_image_bytes,
        min_free_bytes: config.min_free_disk_bytes,
        at_once: config.build_concurrency,
        fetches_from_itself: config.fetch_from_self,
        ca_bundle: config.build_ca_bundle.clone(),
        slugs: SlugStore::open(slugs_dir(config)).context("opening the slug store")?,
        logs: BuildLogs::open(config.data_dir.join("build-logs")).context("opening the folder of build logs")?,
        stack: Stack::new(&config.stack),
        fingerprint_key: FingerprintKey(store.sealer().derive("fingerprint", b"")),
    })
}

/// Where the slugs of an installation are kept.
pub fn slugs_dir(config: &Config) -> PathBuf {
    config.data_dir.join("slugs")
}

/// Whether a server holds the data directory.
pub fn is_running(config: &Config) -> bool {
    let lock = fs::File::open(config.data_dir.join("lock"));
    lock.is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_err())
}

/// Takes the data directory for this process alone, until the returned file is dropped.
fn own_data_dir(data_dir: &Path) -> Result<fs::File> {
    create_private_dir(data_dir)?;
    let path = data_dir.join("lock");
    let file = fs::File::create(&path).with_context(|| format!("opening {}", path.display()))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        bail!("another Slipway serves {}; stop it first, or name another --data-dir", data_dir.display());
    }
    Ok(file)
}

fn create_private_dir(path: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("making the data directory {}", path.display()))
}

/// Each proxied request takes two files; the usual soft limit of 1024 would end at 500 of them.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

/// The router's bounds.
fn router_config(config: &Config, https_port: u16) -> Arc<RouterConfig> {
    Arc::new(route::RouterConfig { drain: config.drain_timeout, https_port, ..RouterConfig::default() })
}
