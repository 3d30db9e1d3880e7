//! Stage 4: a release becomes healthy instances, then one switch, then the old ones drain.
//!
//! New instances start beside the old ones, in their place batch by batch, or after their end: the app's strategy. When
//! every one of them is healthy a single transaction switches: the release counts, the new instances are live, the old ones
//! draining. A failure before that transaction removes the new instances and brings the old ones back that had made way; a
//! crash after it is finished by whoever comes next.

mod drain;
mod group;
mod halt;
mod health;
mod launch;
mod liveness;
mod one_off;
mod plan;
mod probe;
mod recover;
mod report;
mod restart;
mod spec;
mod start_hints;
mod strategy;
mod supervise;
mod switch;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, EngineError, ImageFetcher};
use crate::logs::{Collector, LogStore};
use crate::model::{App, Build, Config, Formation, InstanceId, InvalidSetting, Release, Step};
use crate::route::{Table, Upstream};
use crate::store::{Journal, JournalError, Store, StoreError, instances};
use crate::telemetry::metrics::metrics;

pub use drain::remove_app_objects;
pub use group::{PortRange, is_port_free, lowest_free_number};
pub use one_off::{CronEnd, OneOff, OneOffError, Place as OneOffPlace, Ran};
pub use plan::Scope;
pub use spec::{DEFAULT_PORT, app_network};

/// What bounds a rollout and the instances it starts.
#[derive(Debug, Clone)]
pub struct RolloutSettings {
    /// Marks everything this installation makes in the engine.
    pub server_id: String,
    /// The platform domain; HTTP probes ask for `APP.DOMAIN`.
    pub domain: String,
    /// How long a new instance may take until it is healthy.
    pub boot_timeout: Duration,
    /// How long an instance without a port must stay up to count as healthy.
    pub settle: Duration,
    /// How long requests in flight on an old instance may take.
    pub drain_timeout: Duration,
    /// How long upgraded connections (websockets) to an old instance may go on.
    pub upgrade_grace: Duration,
    /// Between SIGTERM and SIGKILL.
    pub stop_grace: Duration,
    /// Memory of an instance whose type has no limit of its own, in bytes.
    pub instance_memory: i64,
    /// Processes and threads of an instance.
    pub instance_pids: i64,
    /// How long a one-off command may run.
    pub run_timeout: Duration,
    /// Between two comparisons of wanted with actual instances.
    pub watch_period: Duration,
    /// The first wait before a dead instance is started again; each failure in a row doubles it, up to a minute.
    pub restart_wait: Duration,
    /// Ports of the host that containers of process groups are published on.
    pub port_range: PortRange,
    /// Address of the host that they are bound to.
    pub publish_addr: std::net::IpAddr,
    /// What one account may have, unless an administrator says otherwise.
    pub quotas: crate::model::Quotas,
}

/// What instances are started from.
#[derive(Debug, Clone)]
pub struct Target {
    /// Whose instances.
    pub app: App,
    /// The release they run.
    pub release: Release,
    /// Its build.
    pub build: Build,
    /// Its config.
    pub config: Config,
}

/// Why a rollout left the old release serving.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// An instance died or never became healthy; the lines say which, how and what to do.
    #[error("{}", .0.first().map_or("an instance did not become healthy", String::as_str))]
    Unhealthy(Vec<String>),
    /// A config var that says how to roll out makes no sense.
    #[error("{0}; set it anew, or unset it")]
    Setting(#[from] InvalidSetting),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A step could not be recorded.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What a rollout tells whoever waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A line to read.
    Line(&'a str),
    /// The switch is made: whatever comes now, the new release serves.
    Switched,
}

/// Takes what a rollout tells; must neither block nor fail.
pub type Progress<'a> = &'a (dyn Fn(Event<'_>) + Send + Sync);

/// Starts, switches, drains and supervises instances. Cheap to clone.
#[derive(Clone)]
pub struct Rollouts(Arc<Inner>);

struct Inner {
    store: Store,
    engine: Arc<dyn Engine>,
    images: Arc<ImageFetcher>,
    table: Table,
    logs: LogStore,
    collector: Collector,
    settings: RolloutSettings,
    /// Where instances answer, once that was seen in this life of the server. Only these are routed to.
    ready: Mutex<HashMap<InstanceId, SocketAddr>>,
    /// Planned instances that serve already: healthy ones of a rolling rollout that has not switched yet.
    admitted: Mutex<HashSet<InstanceId>>,
    /// Upstreams that were left out of the table and may still have requests in flight.
    leaving: Mutex<HashMap<InstanceId, Arc<Upstream>>>,
    /// What is remembered of managed process groups.
    groups: group::Groups,
    /// One-off commands at work.
    one_offs: one_off::OneOffs,
    /// Held from reading the wanted upstreams until they are published, so that an older list never follows a newer one.
    publishing: tokio::sync::Mutex<()>,
    stop: CancellationToken,
}

impl Rollouts {
    /// Builds the stage; nothing runs until [`Rollouts::resume`] and [`Rollouts::supervise`].
    pub fn new(
        store: Store,
        images: Arc<ImageFetcher>,
        table: Table,
        logs: LogStore,
        collector: Collector,
        settings: RolloutSettings,
        stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            engine: Arc::clone(images.engine()),
            images,
            table,
            logs,
            collector,
            settings,
            ready: Mutex::default(),
            admitted: Mutex::default(),
            leaving: Mutex::default(),
            groups: group::Groups::default(),
            one_offs: one_off::OneOffs::default(),
            publishing: tokio::sync::Mutex::default(),
            stop,
        }))
    }

    /// Brings the app from what runs now to `target` with `formation`, and replaces the stored formation by it.
    ///
    /// [`Scope::Replace`] starts everything anew, [`Scope::Difference`] touches only the types whose count changes,
    /// [`Scope::Only`] the instances that it names.
    /// Yields once the old instances are gone. Not to be cancelled: the caller runs it in a task that it owns.
    ///
    /// # Errors
    /// Whatever the error, nothing of the new instances is left and the old release serves as before; what had to make way
    /// for them was started again, and is the supervisor's where it does not come up. Errors after the
    /// switch are not reported as failures of the rollout; they are logged, and the supervisor finishes the work.
    pub async fn run(
        &self,
        journal: &mut Journal,
        target: &Target,
        formation: &Formation,
        scope: Scope<'_>,
        out: Progress<'_>,
    ) -> Result<(), RolloutError> {
        let began = Instant::now();
        let done = self.replace(journal, target, formation, scope, out).await;
        metrics().rollout(done.is_ok(), began.elapsed());
        done
    }

    async fn replace(
        &self,
        journal: &mut Journal,
        target: &Target,
        formation: &Formation,
        scope: Scope<'_>,
        out: Progress<'_>,
    ) -> Result<(), RolloutError> {
        // An earlier operation may not have been able to put all back.
        self.restore_parked(&target.app).await?;
        let present = instances::of_app(self.0.store.pool(), target.app.id).await?;
        let plan = plan::plan(target, formation, &present, scope, &journal.operation().id);
        let strategy = self.strategy_for(target, &plan, scope, out).await?;
        journal.step(Step::Start).await?;
        let operation = journal.operation().id.clone();
        let began = Instant::now();
        let parked = match self.bring_up(target, &plan, strategy, out).await {
            Ok(parked) => parked,
            Err(error) => {
                self.unwind(&target.app, &operation, strategy, out).await;
                return Err(error);
            }
        };
        if !plan.start.is_empty() {
            out(Event::Line(&format!("       healthy after {:.1} s", began.elapsed().as_secs_f64())));
        }
        if let Err(error) = self.step_and_switch(journal, target, formation, &plan).await {
            self.unwind(&target.app, &operation, strategy, out).await;
            return Err(error);
        }
        out(Event::Switched);
        journal.pause().await;
        self.publish_until_done(&target.app).await;
        let old = strategy::routed_first(&plan.stop);
        let (ended, old) = old.split_at(parked);
        self.drain(&target.app, old, out).await;
        // They have no container any more; this forgets their rows.
        self.drain(&target.app, ended, &|_| {}).await;
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests_support {
    //! A target and settings for the unit tests of this stage.

    use super::*;
    use crate::model::{
        AppId, BuildId, BuildKind, BuildStatus, ConfigId, Limits, ReleaseId, ReleaseStatus, Timestamp, UserId,
    };

    pub(crate) fn settings() -> RolloutSettings {
        RolloutSettings {
            server_id: "test".to_owned(),
            domain: "localhost".to_owned(),
            boot_timeout: Duration::from_secs(5),
            settle: Duration::from_millis(50),
            drain_timeout: Duration::from_secs(5),
            upgrade_grace: Duration::from_secs(1),
            stop_grace: Duration::from_secs(1),
            instance_memory: 64 << 20,
            instance_pids: 64,
            run_timeout: Duration::from_secs(5),
            watch_period: Duration::from_millis(200),
            restart_wait: Duration::from_millis(50),
            port_range: 49_153..=65_535,
            publish_addr: std::net::Ipv4Addr::UNSPECIFIED.into(),
            quotas: crate::model::Quotas::default(),
        }
    }

    /// v2 of an app whose slug declares `web` and `worker`.
    pub(crate) fn target() -> Target {
        let now = Timestamp::now();
        let (app_id, owner_id, owner) = (AppId::new(), UserId::new(), "bob".parse::<crate::model::Username>().unwrap());
        let (build_id, config_id) = (BuildId::new(), ConfigId::new());
        Target {
            app: App {
                id: app_id,
                name: "hello".parse().unwrap(),
                owner_id,
                owner: owner.clone(),
                is_destroying: false,
                epoch: 0,
                created_at: now,
                updated_at: now,
            },
            release: Release {
                id: ReleaseId::new(),
                app_id,
                owner_id,
                owner: owner.clone(),
                version: 2,
                build_id: Some(build_id),
                config_id,
                status: ReleaseStatus::Pending,
                summary: String::new(),
                created_at: now,
                updated_at: now,
            },
            build: Build {
                id: build_id,
                app_id,
                owner_id,
                owner: owner.clone(),
                kind: BuildKind::Slug,
                status: BuildStatus::Succeeded,
                image: "hello".to_owned(),
                engine_image: "slipway/app-hello:1".to_owned(),
                commit: Some("a".repeat(40)),
                fingerprint: None,
                slug: None,
                dockerfile: String::new(),
                procfile: crate::model::Procfile::parse(b"web: ./server\nworker: ./work").unwrap(),
                port: Some(5000),
                health: Default::default(),
                cron: Vec::new(),
                runtimes: Vec::new(),
                created_at: now,
                updated_at: now,
            },
            config: Config {
                id: config_id,
                app_id,
                owner_id,
                owner,
                values: Default::default(),
                limits: Limits::default(),
                created_at: now,
            },
        }
    }
}
