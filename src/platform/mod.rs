//! The verbs that every door calls.
//!
//! A door turns its request into one call here and the result into its own shape. Whatever changes an app runs as an
//! [operation](crate::model::Operation) in a task that the platform owns: a client that hangs up stops nothing half way.

mod access;
mod accounts;
pub mod api_keys;
mod apps;
mod builds;
mod callers;
mod certificates;
pub mod cleanup;
mod config_vars;
mod cron;
pub mod deploy;
mod disk;
mod domains;
mod error;
pub mod formation;
mod grant;
mod groups;
mod hash_queue;
mod hooks;
mod log_drains;
mod logs;
mod names;
mod operations;
mod passwords;
mod quotas;
mod rebase;
mod recover;
mod releases;
mod restart;
mod routing;
mod run;
mod sharing;
mod ssh_keys;
mod standing;
mod throttle;
pub mod users;

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use tracing::field::Empty;

use crate::build::Builder;
use crate::engine::{Engine, ImageFetcher};
use crate::git::Repositories;
use crate::logs::{LogDrains, LogStore};
use crate::model::{BuilderKey, Quotas, Registration, Size};
use crate::rollout::Rollouts;
use crate::store::{Store, StoreError};

pub use access::{Administrator, AppHandle, OwnerHandle};
pub use apps::AppView;
pub use builds::BuiltImage;
pub use callers::Callers;
pub use certificates::{AcmeSettings, AutomaticCertificates, NewCertificate, ServedCertificates};
pub use cleanup::{Cleanup, CleanupDue, CleanupSettings};
pub use config_vars::ConfigChange;
pub use cron::{CronRuns, CronTaskView};
pub use deploy::{ArchiveRequest, Deployed, PushRequest, RunningBuilds, SourceRequest};
pub use disk::DiskUse;
pub use error::Error;
pub use formation::InstanceView;
pub use groups::{
    GrantedCaller, GroupChange, GroupDetail, GroupFilter, GroupInstanceDetail, GroupInstanceFilter, GroupInstanceView,
    GroupView, LinkTarget, NewGroup, NewLink,
};
pub use log_drains::{DRAINS_MAX, LogDrainView};
pub use operations::{Live, OwnedOperations, Progress};
pub use quotas::{QuotaChange, QuotaView, QuotaViews};
pub use rebase::{RebaseProgress, rebase_progress, request_rebase};
pub use restart::Which;
pub use routing::{RoutedSettings, RoutingChanges};
pub use standing::Readiness;
pub use throttle::Throttle;
pub use users::{Asker, NewAccount};

pub use crate::rollout::{Event, OneOff, Ran};
pub use crate::store::Page;

/// What the verbs need to know about this installation.
#[derive(Debug, Clone)]
pub struct PlatformSettings {
    /// Marks everything this installation makes in the engine.
    pub server_id: String,
    /// Apps answer at `NAME.DOMAIN`.
    pub domain: String,
    /// Base of the APIs' URLs as others reach them, without a slash at its end.
    pub api_url: String,
    /// Named sizes of containers, in ascending order; at least one.
    pub sizes: Vec<Size>,
    /// Who may make accounts.
    pub registration: Registration,
    /// The secret of an operator's own builder, if there is one.
    pub builder_key: Option<BuilderKey>,
    /// Largest push in bytes.
    pub max_push_bytes: u64,
    /// What one account may have, unless an administrator says otherwise.
    pub quotas: Quotas,
    /// Memory of an instance in bytes, unless the app's own limits say otherwise.
    pub instance_memory: i64,
    /// Ports of this machine that process groups are published on.
    pub port_range: std::ops::RangeInclusive<u16>,
    /// Ports that the server itself listens on.
    pub own_ports: Vec<u16>,
    /// How many releases of each app clean-up keeps restorable.
    pub keep_releases: i64,
    /// Most bytes of all build caches together.
    pub build_cache_bytes: u64,
    /// Most bytes of the runtimes that are kept.
    pub runtime_bytes: u64,
    /// `:8080` when the router is not on port 80; part of the URLs that people are shown.
    pub url_suffix: String,
}

/// A window on a list and the size of the whole.
#[derive(Debug, Clone)]
pub struct Listing<T> {
    /// All entries.
    pub total: i64,
    /// The entries of the window.
    pub entries: Vec<T>,
}

impl<T> Listing<T> {
    /// The window's entries and the size of the whole, which is counted only where the window does not tell.
    async fn of(
        page: Page,
        entries: Vec<T>,
        count: impl Future<Output = Result<i64, StoreError>>,
    ) -> Result<Self, StoreError> {
        let found = i64::try_from(entries.len()).unwrap_or(i64::MAX);
        let is_end = found < page.limit && (found > 0 || page.offset == 0);
        let total = if is_end { page.offset + found } else { count.await? };
        Ok(Self { total, entries })
    }
}

/// The verbs. Cheap to clone.
#[derive(Clone)]
pub struct Platform(Arc<Parts>);

/// What the verbs work with.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The container engine.
    pub engine: Arc<dyn Engine>,
    /// Fetches images for apps.
    pub images: Arc<ImageFetcher>,
    /// Bare repositories, one per app.
    pub repositories: Repositories,
    /// Stage 2.
    pub builder: Builder,
    /// Stage 4.
    pub rollouts: Rollouts,
    /// App streams.
    pub logs: LogStore,
    /// Where else the streams go; none runs at the start.
    pub drains: LogDrains,
    /// What the router shows in TLS handshakes.
    pub certificates: ServedCertificates,
    /// Certificates that come by themselves.
    pub automatic: AutomaticCertificates,
    /// Where the router has its settings.
    pub routing: RoutedSettings,
    /// Facts about this installation.
    pub settings: PlatformSettings,
    /// Owns the tasks of running operations.
    pub tracker: TaskTracker,
    /// Fires when the server stops taking work.
    pub stop: CancellationToken,
    /// What tasks of this process are working on; empty at the start.
    pub owned: OwnedOperations,
    /// Builds that can be called off; empty at the start.
    pub running_builds: RunningBuilds,
    /// What accounts have on the disk; empty at the start.
    pub disk_use: DiskUse,
    /// Whom tokens belong to, for a moment; empty at the start.
    pub callers: Callers,
    /// What is remembered of failed logins; empty at the start.
    pub throttle: Throttle,
    /// Wakes clean-up; fresh at the start.
    pub cleanup_due: CleanupDue,
    /// Runs of scheduled commands that tasks of this process follow; empty at the start.
    pub cron: CronRuns,
}

impl Platform {
    /// The verbs over these parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Facts about this installation.
    pub fn settings(&self) -> &PlatformSettings {
        &self.0.settings
    }

    /// Stage 4, for the server to run its supervision.
    pub fn rollouts(&self) -> &Rollouts {
        &self.0.rollouts
    }

    /// The repository of an app, made when it is not there.
    pub async fn repository(&self, handle: &AppHandle) -> Result<PathBuf, Error> {
        let (repositories, app) = (self.0.repositories.clone(), handle.app().id);
        let limit = self.0.settings.max_push_bytes;
        let made = tokio::task::spawn_blocking(move || repositories.ensure(app, limit)).await;
        Ok(made.map_err(|error| Error::Internal(error.into()))??)
    }

    /// Runs `work` in a task that the platform owns, so that dropping the caller's future does not stop it half way.
    async fn owned<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        // Within the span of the request, and filled in once the work takes an app's lock.
        let span = tracing::info_span!("work", operation.id = Empty, operation.kind = Empty, app.name = Empty);
        match self.0.tracker.spawn(work.instrument(span)).await {
            Ok(result) => result,
            Err(error) => Err(Error::Internal(anyhow::Error::new(error).context("an operation panicked"))),
        }
    }
}
