//! Builds all parts and ties them together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::life::Stops;
use super::{server_id, slugs_dir};
use crate::build::{BuildLogs, BuildSettings, Builder, FingerprintKey, SlugStore, Stack};
use crate::config::{Acme, Config};
use crate::engine::docker::Docker;
use crate::engine::{Engine, EngineError, ImageFetcher};
use crate::git::Repositories;
use crate::logs::{Collector, DrainSettings, LogDrains, LogLimits, LogStore};
use crate::net::Blocks;
use crate::outbound::Outbound;
use crate::platform::{
    AcmeSettings, AutomaticCertificates, Callers, CleanupDue, CronRuns, DiskUse, OwnedOperations, Parts, Platform,
    PlatformSettings, RoutedSettings, RunningBuilds, ServedCertificates, Throttle,
};
use crate::rollout::{RolloutSettings, Rollouts};
use crate::route::{Certificates, RouterConfig, Table};
use crate::store::Store;

/// How long a start waits for an engine that does not answer, and between two looks.
const ENGINE_WAIT: Duration = Duration::from_secs(60);
const ENGINE_LOOK: Duration = Duration::from_millis(500);
/// Between two looks at where builds have their addresses.
const ADDRESSES_PERIOD: Duration = Duration::from_secs(60);
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

/// What the router works with, and the platform changes.
pub(super) struct Ingress {
    pub table: Table,
    pub certificates: Certificates,
    pub logs: LogStore,
    /// Where builds have their addresses, to whom no API is open.
    pub builds: Blocks,
}

/// Connects to the engine. When a machine starts, Slipway may well be faster than it, so it is waited for.
async fn connect(host: &str) -> Result<Docker> {
    let (began, mut is_said) = (Instant::now(), false);
    loop {
        match Docker::connect(host).await {
            Err(EngineError::Unreachable(why)) if began.elapsed() < ENGINE_WAIT => {
                if !is_said {
                    tracing::warn!("waiting up to {} s for the container engine: {why}", ENGINE_WAIT.as_secs());
                    is_said = true;
                }
                tokio::time::sleep(ENGINE_LOOK).await;
            }
            connected => return connected.context("type `slipway doctor` to see what is missing"),
        }
    }
}

/// An engine that is started again may have its default network elsewhere.
async fn follow_build_addresses(docker: Arc<Docker>, builds: Blocks, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ADDRESSES_PERIOD) => {}
        }
        // While it does not answer, nothing is built either.
        if let Ok(found) = docker.build_addresses().await {
            builds.replace(found);
        }
    }
}

/// The platform over all its parts; nothing runs yet but what follows the engine.
pub(super) async fn compose(
    config: &Config,
    store: &Store,
    url_suffix: String,
    ingress: &Ingress,
    stops: &Stops,
    tracker: &TaskTracker,
) -> Result<Platform> {
    let Ingress { table, certificates, logs, builds } = ingress;
    let server_id = server_id(store).await?;
    let docker = Arc::new(connect(&config.docker_host).await?);
    builds.replace(docker.build_addresses().await.context("asking the engine where builds have their addresses")?);
    tracker.spawn(follow_build_addresses(Arc::clone(&docker), builds.clone(), stops.doors.clone()));
    let engine: Arc<dyn Engine> = docker;
    let data = &config.data_dir;
    let collector = Collector::new(engine.clone(), logs.clone(), TaskTracker::new(), stops.background.clone());
    let outbound = Outbound::new(config.outbound_allow.clone());
    let to = DrainSettings { outbound: outbound.clone(), ..DrainSettings::default() };
    let (stack, bases) = (config.stack.clone(), config.base_images.clone());
    let images = ImageFetcher::new(engine.clone(), stack, bases, outbound.clone(), data.join("pulls"));
    let images = Arc::new(images);
    images.recover().await.context("taking away the names of images that were being pulled")?;
    let rollouts = Rollouts::new(
        store.clone(),
        images.clone(),
        table.clone(),
        logs.clone(),
        collector,
        rollout_settings(config, &server_id),
        stops.background.clone(),
    );
    let builder =
        Builder::new(images.clone(), build_settings(config, store, outbound)?, server_id.clone(), tracker.clone());
    let repositories = Repositories::new(data.join("repositories"));
    let sweeping = repositories.clone();
    let swept = tokio::task::spawn_blocking(move || sweeping.sweep(SWEPT_AGE)).await?;
    swept.context("clearing what earlier pushes left")?;
    Ok(Platform::new(Parts {
        store: store.clone(),
        engine,
        images,
        repositories,
        builder,
        rollouts,
        logs: logs.clone(),
        drains: LogDrains::new(logs.clone(), to, stops.background.clone()),
        certificates: ServedCertificates::new(certificates.clone()),
        automatic: AutomaticCertificates::new(config.acme.clone().map(acme_settings), table.challenges().clone()),
        routing: RoutedSettings::new(table.clone()),
        settings: PlatformSettings {
            server_id,
            domain: config.domain.clone(),
            api_url: config.api_url.clone().unwrap_or_else(|| format!("http://slipway.{}{url_suffix}", config.domain)),
            sizes: config.sizes.clone(),
            registration: config.registration,
            builder_key: config.builder_key.clone(),
            max_push_bytes: config.max_push_bytes,
            quotas: config.quotas.clone(),
            instance_memory: config.instance_memory_bytes,
            port_range: config.port_range.clone(),
            own_ports: own_ports(config),
            keep_releases: config.keep_releases,
            build_cache_bytes: config.build_cache_bytes,
            runtime_bytes: config.runtime_bytes,
            url_suffix,
        },
        tracker: tracker.clone(),
        stop: stops.doors.clone(),
        owned: OwnedOperations::default(),
        callers: Callers::default(),
        running_builds: RunningBuilds::default(),
        disk_use: DiskUse::default(),
        throttle: Throttle::default(),
        cleanup_due: CleanupDue::default(),
        cron: CronRuns::default(),
    }))
}

/// What bounds the apps' log streams.
pub(super) fn log_limits(config: &Config) -> LogLimits {
    let limits = LogLimits::default();
    LogLimits {
        bytes_per_app: config.log_bytes_per_app,
        lines_per_second: config.log_lines_per_second,
        min_free_bytes: limits.min_free_bytes.min(config.min_free_disk_bytes),
        ..limits
    }
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
        port_range: config.port_range.clone(),
        publish_addr: config.publish_addr,
        quotas: config.quotas.clone(),
    }
}

/// The ports of the listeners, as far as they were given.
fn own_ports(config: &Config) -> Vec<u16> {
    let listeners = [config.api_addr, config.ssh_addr, config.http_addr, config.https_addr];
    listeners.map(|address| address.port()).into_iter().filter(|port| *port > 0).collect()
}

fn acme_settings(acme: Acme) -> AcmeSettings {
    AcmeSettings { directory: acme.directory, email: acme.email, challenge: acme.challenge, looks_up: acme.looks_up }
}

fn build_settings(config: &Config, store: &Store, outbound: Outbound) -> Result<BuildSettings> {
    Ok(BuildSettings {
        memory_bytes: config.build_memory_bytes,
        cpu_shares: config.build_cpu_shares,
        pids: config.build_pids,
        time_limit: config.build_timeout,
        slug_bytes: SLUG_BYTES,
        image_bytes: config.build_image_bytes,
        min_free_bytes: config.min_free_disk_bytes,
        at_once: config.build_concurrency,
        outbound,
        ca_bundle: config.build_ca_bundle.clone(),
        slugs: SlugStore::open(slugs_dir(config)).context("opening the slug store")?,
        logs: BuildLogs::open(config.data_dir.join("build-logs")).context("opening the folder of build logs")?,
        stack: Stack::new(&config.stack),
        fingerprint_key: FingerprintKey(store.sealer().derive("fingerprint", b"")),
        frontends: config.build_frontends.clone(),
        runtime_mirrors: config.runtime_mirrors.clone(),
    })
}

/// The router's bounds.
pub(super) fn router_config(config: &Config, https_port: u16) -> Arc<RouterConfig> {
    Arc::new(RouterConfig { drain: config.drain_timeout, https_port, ..RouterConfig::default() })
}
