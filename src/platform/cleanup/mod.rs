//! Clean-up: what nothing can need any more goes, by rule, and nothing that Slipway did not make.
//!
//! A [`Plan`] says of each thing whether it goes, and why. What belongs to an app is removed under the app's lock, after
//! the rules were asked once more, so that no push, rollback or rebase meets a half-removed image. The command line runs
//! the same code beside the server: the locks are in the database.

mod facts;
mod remove;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Error, OwnedOperations, Platform};
use crate::build::SlugStore;
use crate::engine::{Engine, Volume};
use crate::model::{App, AppId};
use crate::store::{Store, apps};

pub use rules::shown_size;

/// The first look comes so long after the start, a later one so long after the one before.
const FIRST: Duration = Duration::from_secs(10);
const PERIOD: Duration = Duration::from_secs(3600);
/// After a push the disk has a rest for so long; pushes in the meantime share the look that follows.
const AFTER_PUSH: Duration = Duration::from_secs(30);

/// What clean-up goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanupSettings {
    /// Whose things: the label of this installation in the engine.
    pub server_id: String,
    /// How many releases of each app stay restorable, 1 or more.
    pub keep_releases: i64,
    /// Most bytes of all build caches together.
    pub build_cache_bytes: u64,
    /// Most bytes of all runtimes that are kept.
    pub runtime_bytes: u64,
}

/// What a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An image of an app, by its name.
    Image,
    /// An image that lost its name to a newer one, by its content id.
    Untagged,
    /// A slug, by its digest.
    Slug,
    /// A version of a language that apps asked for, by its name in the store.
    Runtime,
    /// What an app's builds cache, a volume of the engine.
    Cache,
    /// A container that nothing accounts for.
    Container,
    /// A network of an app that is gone, or of a build that is over.
    Network,
    /// A file of a build that was interrupted.
    Temporary,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Image => "image",
            Self::Untagged => "old image",
            Self::Slug => "slug",
            Self::Runtime => "runtime",
            Self::Cache => "build cache",
            Self::Container => "container",
            Self::Network => "network",
            Self::Temporary => "file",
        })
    }
}

/// A thing, and why it goes or stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// What the engine, or the slug store, calls it.
    pub name: String,
    /// The app that it belongs to, while there is that app.
    pub app: Option<AppId>,
    /// Bytes that its removal frees at most, where that is known. Layers that are shared with an image below do not count.
    pub size_bytes: Option<u64>,
    /// Why.
    pub why: String,
}

/// What goes and what stays.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// What goes.
    pub goes: Vec<Item>,
    /// What stays.
    pub stays: Vec<Item>,
    /// What could not be looked at.
    pub notes: Vec<String>,
    caches: Caches,
}

/// The build caches that there were when the plan was made. The rules look at these until it is carried out: with one
/// gone, there would be room for another that was to go before it.
#[derive(Debug, Clone, Default)]
struct Caches {
    volumes: Vec<Volume>,
    /// Bytes by volume; `None` when they were not measured.
    sizes: Option<BTreeMap<String, u64>>,
}

impl Plan {
    /// Bytes that it frees at most, as far as sizes are known.
    pub fn size_bytes(&self) -> u64 {
        self.goes.iter().filter_map(|item| item.size_bytes).sum()
    }
}

/// What became of a thing that was to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is gone.
    Removed,
    /// It stays for now, for this reason.
    Kept(String),
    /// It could not be removed; the reason.
    Failed(String),
}

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// All but the sizes of build caches, so that none is too large.
    Quick,
    /// All. Measuring the caches may take minutes.
    Full,
}

/// Finds out what nothing needs and removes it. Cheap to clone.
#[derive(Clone)]
pub struct Cleanup {
    store: Store,
    engine: Arc<dyn Engine>,
    slugs: SlugStore,
    settings: CleanupSettings,
    owned: OwnedOperations,
    stop: CancellationToken,
}

impl Cleanup {
    /// Clean-up for a process beside the server, or without one. `stop` ends it between two things.
    pub fn new(
        store: Store,
        engine: Arc<dyn Engine>,
        slugs: SlugStore,
        settings: CleanupSettings,
        stop: CancellationToken,
    ) -> Self {
        Self { store, engine, slugs, settings, owned: OwnedOperations::default(), stop }
    }

    /// What would go now and what would stay. Changes nothing; may be dropped.
    ///
    /// # Errors
    /// When the engine, the database or the slug store cannot be read. Sizes that cannot be had are only noted.
    pub async fn plan(&self, depth: Depth) -> Result<Plan, Error> {
        let mut caches = Caches { volumes: self.caches().await?, sizes: None };
        let mut notes = Vec::new();
        if depth == Depth::Full && !caches.volumes.is_empty() {
            match self.engine.volume_sizes().await {
                Ok(sizes) => caches.sizes = Some(sizes),
                Err(error) => notes.push(format!("build caches were not measured: {error}")),
            }
        }
        let plan = rules::plan(&self.facts(&caches, None).await?);
        Ok(Plan { notes, caches, ..plan })
    }
}

/// Tells the server's own clean-up that there may be something to do. Cheap to clone.
#[derive(Clone, Default)]
pub struct CleanupDue(Arc<Notify>);

impl CleanupDue {
    pub(super) fn tell(&self) {
        self.0.notify_one();
    }
}

impl Platform {
    /// Clean-up by this server's own rules.
    pub fn cleanup(&self) -> Cleanup {
        let parts = &self.0;
        Cleanup {
            store: parts.store.clone(),
            engine: Arc::clone(&parts.engine),
            slugs: parts.builder.slugs().clone(),
            settings: CleanupSettings {
                server_id: parts.settings.server_id.clone(),
                keep_releases: parts.settings.keep_releases,
                build_cache_bytes: parts.settings.build_cache_bytes,
                runtime_bytes: parts.settings.runtime_bytes,
            },
            owned: parts.owned.clone(),
            stop: parts.stop.clone(),
        }
    }

    /// Empties an app's build cache: the next build starts from nothing. Waits for an operation that is at work.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the wait is too long or the engine away; [`Error::NotFound`] when the app goes meanwhile.
    pub async fn purge_build_cache(&self, handle: &super::AppHandle) -> Result<(), Error> {
        let (cleanup, logs, handle) = (self.cleanup(), self.0.logs.clone(), handle.clone());
        self.owned(async move {
            cleanup.purge_build_cache(handle.app(), handle.user().username.as_str()).await?;
            logs.note(handle.app().id, "api", &format!("{} emptied the build cache", handle.user().username));
            Ok(())
        })
        .await
    }

    /// Cleans up soon after the start, then every hour, and some time after pushes, until the server stops.
    pub async fn clean_up_regularly(self) {
        let (cleanup, stop) = (self.cleanup(), self.0.stop.clone());
        let mut next_full = tokio::time::Instant::now() + FIRST;
        loop {
            let depth = tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(next_full) => {
                    next_full = tokio::time::Instant::now() + PERIOD;
                    Depth::Full
                }
                () = self.0.cleanup_due.0.notified() => {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(AFTER_PUSH) => Depth::Quick,
                    }
                }
            };
            if let Err(error) = self.clean_up(&cleanup, depth).await {
                tracing::warn!(error = ?error, "cannot clean up now");
            }
        }
    }

    async fn clean_up(&self, cleanup: &Cleanup, depth: Depth) -> Result<(), Error> {
        let plan = tokio::select! {
            () = self.0.stop.cancelled() => return Ok(()),
            plan = cleanup.plan(depth) => plan?,
        };
        for note in &plan.notes {
            tracing::warn!("{note}");
        }
        cleanup
            .carry_out(&plan, &mut |item, outcome| match outcome {
                Outcome::Removed => tracing::info!(kind = %item.kind, name = item.name, why = item.why, "cleaned up"),
                Outcome::Kept(why) => tracing::info!(kind = %item.kind, name = item.name, why, "not cleaned up yet"),
                Outcome::Failed(why) => tracing::warn!(kind = %item.kind, name = item.name, why, "cannot clean up"),
            })
            .await
    }
}

/// The app of that name for the host's own command line, which needs nobody's leave.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn app_on_host(store: &Store, name: &str) -> Result<App, Error> {
    let found = apps::by_name(store.pool(), name).await?.filter(|app| !app.is_destroying);
    found.ok_or_else(|| Error::NotFound(format!("app '{name}'")))
}
