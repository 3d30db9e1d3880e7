//! One-off commands: a container of a release that runs one command beside the instances, and goes with its end.
//!
//! They take no part in operations and their lock: a one-off of many minutes must not hold a push up. What keeps them from
//! outliving their app is the [`Place`] that each one holds until its container is gone.

mod cron;
mod output;
mod registry;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{RolloutError, Rollouts, Target, spec};
use crate::engine::{Container, EngineError, ExitStatus, LineSink, label};
use crate::model::{App, AppId, BuildKind, InstanceId, ProcessType};
use crate::store::{StoreError, apps, cron as cron_runs};
use output::Output;

pub use cron::CronEnd;

pub(super) use registry::OneOffs;
pub use registry::{ONE_OFFS_MAX, OneOff, Place};

/// Most bytes of output that are kept of one one-off; of more than that, the last ones.
const OUTPUT_MAX: usize = 10 << 20;

/// How long the rest of the output may take to arrive after the end of the container.
const TAIL_LIMIT: Duration = Duration::from_secs(10);

/// How often the removal of a container is tried before it is left to the supervisor, and the pause before the next try.
const REMOVAL_TRIES: u32 = 3;
const REMOVAL_PAUSE: Duration = Duration::from_secs(1);

/// The shells that a command is given to in an image that is not ours, best first (Deis has bash only, spec §9).
const SHELLS: [&str; 2] = ["/bin/bash", "/bin/sh"];

/// How a one-off ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Exit status of the command; 128 + signal when a signal ended it.
    pub status: i64,
    /// Standard output and standard error in the order in which they were written, the last 10 MiB of them. Bytes that
    /// are no UTF-8 are replaced.
    pub output: String,
}

/// Why a one-off has no result.
#[derive(Debug, thiserror::Error)]
pub enum OneOffError {
    /// The app has as many as it may have at once.
    #[error("this app runs {ONE_OFFS_MAX} commands at once already; wait until one of them ends")]
    TooMany,
    /// The app is gone, or on its way out.
    #[error("the app is being destroyed")]
    AppGone,
    /// The image has no shell to give the command to.
    #[error("the image of this release has neither {} nor {} to run the command with; add a shell to it", SHELLS[0], SHELLS[1])]
    NoShell,
    /// It ran for longer than it may. Its container is gone.
    #[error("container timed out: it was ended after {} s, the longest that a command may run; what takes longer belongs in a process type of its own, scaled to 1", limit.as_secs())]
    TimedOut {
        /// How long it was given.
        limit: Duration,
    },
    /// Whoever asked for it called it off. Its container is gone.
    #[error("cancelled")]
    Cancelled,
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OneOffError {
    /// Whether the engine or the database gave no answer, so that nobody knows what came of it.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Engine(error) => error.is_outage(),
            Self::Store(error) => error.outage().is_some(),
            _ => false,
        }
    }
}

impl Rollouts {
    /// Takes a place among the app's one-offs, which keeps the app's destruction waiting until it is given up.
    ///
    /// # Errors
    /// [`OneOffError::TooMany`], and [`OneOffError::AppGone`] for an app that is being destroyed.
    pub async fn enter_one_off(&self, app: &App, version: i64) -> Result<Place, OneOffError> {
        self.admit_one_off(app, self.0.one_offs.enter(app.id, version)).await
    }

    async fn admit_one_off(&self, app: &App, place: Option<Place>) -> Result<Place, OneOffError> {
        let place = place.ok_or(OneOffError::TooMany)?;
        // Looked up after the place is taken: a destruction that begins later finds the place and ends it, and one that
        // began earlier is seen here.
        let found = apps::by_id(self.0.store.pool(), app.id).await?;
        found.filter(|app| !app.is_destroying).map(|_| place).ok_or(OneOffError::AppGone)
    }

    /// The app's one-offs at work that somebody asked for, oldest first.
    pub fn one_offs(&self, app: AppId) -> Vec<OneOff> {
        self.0.one_offs.of_app(app, &ProcessType::run())
    }

    /// Runs a command in a fresh container of `target` and waits for its end. `command` is one argument of a shell. Each
    /// line of its output goes to `on_line` as it comes, too.
    ///
    /// Whatever comes, the container is gone when this returns, or left to the supervisor where the engine refuses to
    /// remove it; so this is not to be dropped half way but ended by `cancel`.
    ///
    /// # Errors
    /// A command that fails is no error, see [`Ran::status`].
    pub async fn run_one_off(
        &self,
        place: &Place,
        target: &Target,
        command: &str,
        cancel: &CancellationToken,
        on_line: LineSink<'_>,
    ) -> Result<Ran, OneOffError> {
        let container = self.create_one_off(place, target, command, &BTreeMap::new()).await?;
        let limit = self.0.settings.run_timeout;
        let outcome = tokio::select! {
            biased;
            () = place.end.cancelled() => Err(OneOffError::AppGone),
            () = cancel.cancelled() => Err(OneOffError::Cancelled),
            ran = self.to_the_end(place, target, &container, on_line) => ran,
            () = sleep(limit) => Err(OneOffError::TimedOut { limit }),
        };
        self.clear_away(place.one_off().id, &container, outcome.is_ok()).await;
        outcome
    }

    /// Creates the container, with `env` over all other variables; in an image that is not ours, with the best shell that it
    /// has.
    async fn create_one_off(
        &self,
        place: &Place,
        target: &Target,
        command: &str,
        env: &BTreeMap<String, String>,
    ) -> Result<String, OneOffError> {
        let engine = &self.0.engine;
        let labels = spec::app_labels(&self.0.settings.server_id, &target.app);
        engine.ensure_network(&spec::app_network(target.app.id), &labels).await?;
        for shell in SHELLS {
            let mut spec = spec::one_off(&self.0.settings, target, place.one_off(), shell, command);
            spec.env.extend(env.clone());
            let container = engine.create_container(&spec).await?;
            if target.build.kind == BuildKind::Slug {
                return Ok(container);
            }
            match engine.download(&container, shell).await {
                Ok(_) => return Ok(container),
                Err(EngineError::NotFound { .. }) => self.remove_one_off(&container).await,
                Err(error) => {
                    self.remove_one_off(&container).await;
                    return Err(error.into());
                }
            }
        }
        Err(OneOffError::NoShell)
    }

    /// Starts the container and takes in what it prints until it ends.
    async fn to_the_end(
        &self,
        place: &Place,
        target: &Target,
        container: &str,
        on_line: LineSink<'_>,
    ) -> Result<Ran, OneOffError> {
        let (engine, one_off) = (&self.0.engine, place.one_off());
        // Attached before it starts, so that nothing is missed however quickly it ends.
        let mut chunks = engine.attach(container).await?;
        engine.start_container(container).await?;
        place.started();
        self.0.collector.follow(target.app.id, &one_off.process, one_off.number, one_off.id, container);
        let mut output = Output::new(OUTPUT_MAX, on_line);
        let status = {
            let reading = read(&mut chunks, &mut output);
            tokio::pin!(reading);
            let ended = engine.wait_container(container);
            tokio::pin!(ended);
            tokio::select! {
                status = &mut ended => {
                    let status = status?;
                    match timeout(TAIL_LIMIT, reading).await {
                        Ok(read) => read?,
                        Err(_) => tracing::warn!(container.id = container, "the end of a command's output does not arrive"),
                    }
                    status
                }
                read = &mut reading => {
                    read?;
                    ended.await?
                }
            }
        };
        Ok(Ran { status: status.code, output: self.with_reason(output.into_text(), status) })
    }

    /// A command that the kernel ended says nothing about it, so this does.
    fn with_reason(&self, mut output: String, status: ExitStatus) -> String {
        if status.out_of_memory {
            if !output.is_empty() && !output.ends_with('\n') {
                output.push('\n');
            }
            output.push_str(&format!("[slipway: {}]\n", self.out_of_memory()));
        }
        output
    }

    fn out_of_memory(&self) -> String {
        format!("the command ran out of memory (limit {} MiB)", self.0.settings.instance_memory >> 20)
    }

    /// Ends and removes a one-off's container, once what it said is in the app's log.
    async fn clear_away(&self, id: InstanceId, container: &str, has_ended: bool) {
        if !has_ended && let Err(error) = self.0.engine.stop_container(container, self.0.settings.stop_grace).await {
            tracing::warn!(container.id = container, %error, "cannot stop a one-off; removing it");
        }
        self.0.collector.settled(id).await;
        self.remove_one_off(container).await;
    }

    async fn remove_one_off(&self, container: &str) {
        for attempt in 1..=REMOVAL_TRIES {
            match self.0.engine.remove_container(container).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(container.id = container, attempt, %error, "cannot remove a one-off yet"),
            }
            sleep(REMOVAL_PAUSE).await;
        }
    }

    /// Removes containers of one-offs that are no longer at work: left by an earlier life of the server, or by an engine
    /// that refused to remove them. What it still refuses is logged, and left for the next time. Runs of scheduled commands
    /// that have not ended stay: they outlive the server.
    ///
    /// # Errors
    /// When the engine or the database does not say what there is.
    pub(super) async fn sweep_one_offs(&self) -> Result<(), RolloutError> {
        let labels = crate::engine::labels([(label::SERVER, self.0.settings.server_id.as_str()), (label::ONE_OFF, "")]);
        // Listed before the places are looked at: one that is created in between has its place and is not seen here.
        let mut left = self.0.engine.containers(&labels).await?;
        let id = |container: &Container| container.labels.get(label::ONE_OFF).and_then(|id| id.parse().ok());
        left.retain(|container| id(container).is_none_or(|id| !self.0.one_offs.contains(id)));
        if left.is_empty() {
            return Ok(());
        }
        let live = cron_runs::under_way(self.0.store.pool()).await?;
        let live: HashSet<InstanceId> = live.iter().map(|run| run.id).collect();
        for container in left {
            if id(&container).is_none_or(|id| !live.contains(&id)) {
                tracing::info!(container.name = %container.name, "removing a one-off that nobody waits for");
                let removed = self.0.engine.remove_container(&container.id).await;
                if let Err(error) = removed {
                    tracing::warn!(container.name = %container.name, %error, "cannot remove a one-off yet");
                }
            }
        }
        Ok(())
    }
}

/// Reads to the end, so that a program that prints more than is kept does not come to a stop.
async fn read(
    chunks: &mut BoxStream<'static, Result<Bytes, EngineError>>,
    output: &mut Output<'_>,
) -> Result<(), EngineError> {
    while let Some(chunk) = chunks.next().await {
        output.push(&chunk?);
    }
    output.end();
    Ok(())
}
