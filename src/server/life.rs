//! One life of the server: from its start to its end, or until another process takes its place.

use std::fs::File;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::compose::{Ingress, compose, log_limits};
use super::listeners::{self, Listeners};
use super::takeover::{Door, Predecessor, Sockets, Successor};
use super::{Signals, open_store, own_data_dir, ready};
use crate::config::Config;
use crate::logs::LogStore;
use crate::net::Blocks;
use crate::platform::Platform;
use crate::platform::users::new_setup_token;
use crate::route::{RouterConfig, Table};
use crate::store::Store;

/// How long running operations may take to reach their end, or a recorded step, when the server stops.
pub(super) const OPERATIONS_GRACE: Duration = Duration::from_secs(60);
/// How long everything else may take to end.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// Tasks that end with the server.
pub(super) type Tasks = JoinSet<Result<()>>;

/// What ends what.
#[derive(Default)]
pub(super) struct Stops {
    /// The doors: no new pushes and API calls; running builds are cancelled.
    pub doors: CancellationToken,
    /// The router.
    pub ingress: CancellationToken,
    /// Supervision, log collection and other loops.
    pub background: CancellationToken,
    /// What writes access lines; it ends by itself after the router, and before it only for a successor.
    pub lines: CancellationToken,
}

/// A server at work.
pub(super) struct Life {
    stops: Stops,
    tracker: TaskTracker,
    store: Store,
    /// Doors and loops.
    serving: Tasks,
    router: Router,
    /// Handles of what it listens on, for a successor. Open, they keep queues of who knocks, so they go when it stops.
    sockets: Sockets,
    door: Door,
    /// The data directory is this process's as long as this is open.
    lock: File,
}

/// What goes on serving apps when everything else has ended: it needs neither database nor engine.
pub(super) struct Router {
    stop: CancellationToken,
    tasks: Tasks,
}

/// How a life ended.
pub(super) enum End {
    /// All has ended.
    Stopped(Result<()>),
    /// All has ended, and another process serves at the same sockets.
    Replaced,
    /// All but the router has ended for another process, which then did not come.
    Deserted(Router, Sockets),
}

impl Life {
    /// Takes the data directory and all addresses, and serves.
    pub async fn begin(config: &Config) -> Result<Self> {
        let lock = own_data_dir(&config.data_dir)?;
        let store = open_store(config).await?;
        let listeners = Listeners::bind(config).await?;
        Self::serve(config, lock, store, listeners).await
    }

    /// Takes the place of the server that serves the data directory.
    pub async fn take_over(config: &Config) -> Result<Self> {
        let (mut predecessor, sockets) = Predecessor::find(&config.data_dir).await?;
        predecessor.step_aside().await?;
        let life = Self::at(config, &sockets).await?;
        predecessor.let_go().await?;
        Ok(life)
    }

    /// Serves again after a successor did not come; the router of the life before goes when this one's is there.
    pub async fn begin_again(config: &Config, before: Router, sockets: &Sockets) -> Result<Self> {
        let life = Self::at(config, sockets).await?;
        life.tracker.spawn(before.end());
        Ok(life)
    }

    async fn at(config: &Config, sockets: &Sockets) -> Result<Self> {
        let lock = own_data_dir(&config.data_dir)?;
        let store = open_store(config).await?;
        Self::serve(config, lock, store, sockets.listeners()?).await
    }

    async fn serve(config: &Config, lock: File, store: Store, listeners: Listeners) -> Result<Self> {
        let (stops, tracker, table) = (Stops::default(), TaskTracker::new(), Table::new(&config.domain));
        let ingress = Ingress {
            certificates: listeners::own_certificate(config, &store, &table)?,
            table,
            logs: LogStore::new(config.data_dir.join("logs"), log_limits(config)),
            builds: Blocks::default(),
        };
        let platform = compose(config, &store, listeners.url_suffix(), &ingress, &stops, &tracker).await?;
        platform.recover().await.context("picking up what an earlier run left")?;
        let mut serving = Tasks::new();
        start_background(&platform, &mut serving);
        let (ready, sockets) = (listeners.ready(), listeners.sockets()?);
        let router_tasks = listeners.serve(config, &store, &platform, ingress, &stops, &tracker, &mut serving).await?;
        let router = Router { stop: stops.ingress.clone(), tasks: router_tasks };
        let door = Door::open(&config.data_dir)?;
        if let Some(token) = new_setup_token(&store).await? {
            // Not into the log, which others may read and keep: it is for whoever started this.
            eprintln!("setup token for the first account, unless it is registered at http://{}: {token}", ready.api);
        }
        if let Some(file) = &config.ready_file {
            ready::write(file, &ready)?;
        }
        tracing::info!(api = %ready.api, ssh = %ready.ssh, http = %ready.http, https = %ready.https, "serving");
        Ok(Self { stops, tracker, store, serving, router, sockets, door, lock })
    }

    /// Serves until a signal, the end of a task that should not end, or a successor.
    pub async fn until_end(mut self, config: &Config, signals: &mut Signals) -> End {
        let ended = tokio::select! {
            () = signals.received() => Ok(()),
            Some(ended) = self.serving.join_next() => ended.unwrap_or_else(|panic| Err(panic.into())),
            Some(ended) = self.router.tasks.join_next() => ended.unwrap_or_else(|panic| Err(panic.into())),
            successor = self.door.successor(&self.sockets) => return self.hand_over(config, successor, signals).await,
        };
        tracing::info!("stopping");
        // Whoever comes now is refused, and does not wait in a queue that nobody looks at.
        drop((self.sockets, self.door));
        end_operations(&self.stops, &self.tracker).await;
        self.stops.ingress.cancel();
        end_loops(&self.stops, &mut self.serving).await;
        self.router.end().await;
        close(&self.store).await;
        End::Stopped(ended)
    }

    /// Ends everything but the router, then lets the successor begin, then ends the router, too.
    async fn hand_over(mut self, config: &Config, mut successor: Successor, signals: &mut Signals) -> End {
        tracing::info!("another process takes over");
        end_operations(&self.stops, &self.tracker).await;
        // Two processes must not write to one stream; what requests still say here is not kept.
        self.stops.lines.cancel();
        end_loops(&self.stops, &mut self.serving).await;
        close(&self.store).await;
        drop((self.door, self.lock));
        let begun = tokio::select! {
            begun = successor.begin(config.boot_timeout) => begun,
            // Who is told to stop now has nothing left but the router; the successor has the rest.
            () = signals.received() => Ok(()),
        };
        match begun {
            Ok(()) => {
                tracing::info!("another process has taken over");
                self.router.end().await;
                End::Replaced
            }
            Err(error) => {
                tracing::warn!(%error, "the process that wanted to take over does not serve; serving again");
                End::Deserted(self.router, self.sockets)
            }
        }
    }
}

async fn end_operations(stops: &Stops, tracker: &TaskTracker) {
    stops.doors.cancel();
    tracker.close();
    if timeout(OPERATIONS_GRACE, tracker.wait()).await.is_err() {
        tracing::warn!(grace_s = OPERATIONS_GRACE.as_secs(), "operations still run; the next start settles them");
    }
}

async fn end_loops(stops: &Stops, serving: &mut Tasks) {
    stops.background.cancel();
    let rest = async { while serving.join_next().await.is_some() {} };
    if timeout(RouterConfig::default().drain + GRACE, rest).await.is_err() {
        tracing::warn!("grace period over, stopping anyway");
    }
}

impl Router {
    /// Takes no more connections; requests in flight finish within the router's bounds.
    async fn end(mut self) {
        self.stop.cancel();
        let rest = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(RouterConfig::default().drain + GRACE, rest).await.is_err() {
            tracing::warn!("requests still go on, stopping anyway");
        }
    }
}

async fn close(store: &Store) {
    if timeout(GRACE, store.close()).await.is_err() {
        tracing::warn!("the database does not close, stopping anyway");
    }
}

fn start_background(platform: &Platform, serving: &mut Tasks) {
    let (supervisor, watcher) = (platform.rollouts().clone(), platform.clone());
    serving.spawn(async move {
        supervisor.supervise().await;
        Ok(())
    });
    serving.spawn(async move {
        watcher.watch().await;
        Ok(())
    });
    let groups = platform.rollouts().clone();
    serving.spawn(async move {
        groups.watch_groups().await;
        Ok(())
    });
    let disk = platform.clone();
    serving.spawn(async move {
        disk.watch_disk().await;
        Ok(())
    });
    let drained = platform.clone();
    serving.spawn(async move {
        drained.log_drains_ended().await;
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
    let scheduler = platform.clone();
    serving.spawn(async move {
        scheduler.keep_schedules().await;
        Ok(())
    });
}
