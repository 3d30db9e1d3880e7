//! Composition root: builds everything, starts the listeners, owns the order of shutdown.

mod access;
mod compose;
mod keys;
mod life;
mod listeners;
mod push_backend;
mod ready;
mod takeover;

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::Mode;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Config;
use crate::store::{Sealer, Store, random_hex, settings};

use life::{End, Life};

/// Runs the server until SIGTERM or SIGINT, until a listener dies, or until another process takes its place. Running apps are
/// not touched by its end.
///
/// With `takes_over` it takes the place of the server that serves this data directory: its listening sockets, as they are, so
/// that no request is refused in between; see `takeover.rs`.
///
/// # Errors
/// Before anything is served: whatever is missing or taken, by name. Afterwards: the listener that died.
pub async fn serve(config: Config, takes_over: bool) -> Result<()> {
    let mut signals = Signals::new()?;
    raise_file_limit();
    let begun = async { if takes_over { Life::take_over(&config).await } else { Life::begin(&config).await } };
    let mut life = tokio::select! {
        life = begun => life?,
        () = signals.received() => return Ok(()),
    };
    loop {
        match life.until_end(&config, &mut signals).await {
            End::Stopped(ended) => {
                if let Some(file) = &config.ready_file {
                    let _gone_already = fs::remove_file(file);
                }
                return ended;
            }
            End::Replaced => return Ok(()),
            // Whoever wanted to take over is gone, and everything but the router had ended for it.
            End::Deserted(router, sockets) => life = Life::begin_again(&config, router, &sockets).await?,
        }
    }
}

/// What asks a server to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
        Ok(Self { terminate, interrupt })
    }

    /// Yields when either came. Cancel-safe.
    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
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

/// Makes the directory, or closes one that is there to everybody else: what is in it is then nobody's to read, whatever modes
/// its files have. What is made from now on has none for others either.
fn create_private_dir(path: &Path) -> Result<()> {
    umask(Mode::RWXG | Mode::RWXO);
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("making the data directory {}", path.display()))?;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        let closed = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
        closed
            .with_context(|| format!("others may read the data directory {0}; type: chmod 700 {0}", path.display()))?;
        tracing::warn!(path = %path.display(), "others could read the data directory; it is closed to them now");
    }
    Ok(())
}

/// Each proxied request takes two files; the usual soft limit of 1024 would end at 500 of them.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}
