//! The real release binary, on free ports, with a data directory of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::machine::field;
use crate::process::Daemon;

/// How long it may take until it serves.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// What the ready file says.
#[derive(Debug, Clone, Deserialize)]
pub struct Addresses {
    /// The REST API.
    pub api: String,
    /// git over SSH.
    pub ssh: String,
    /// The router.
    pub http: String,
    /// The router for TLS.
    pub https: String,
}

/// A running server. Dropped, it is stopped.
#[derive(Debug)]
pub struct Server {
    daemon: Option<Daemon>,
    /// Where it answers; other ports after each start.
    pub addresses: Addresses,
    folder: PathBuf,
    /// Where its database is, if not in its data directory.
    database_url: Option<String>,
    /// Its resident memory when it was first stopped.
    worked: Option<(f64, f64)>,
}

impl Server {
    /// Starts it below `folder`.
    pub async fn start(folder: &Path) -> Result<Self> {
        Self::start_on(folder, None).await
    }

    /// Starts it below `folder`, on the database at that URL, if one is given.
    pub async fn start_on(folder: &Path, database_url: Option<String>) -> Result<Self> {
        let (daemon, addresses) = start(folder, database_url.as_deref(), None).await?;
        Ok(Self { daemon: Some(daemon), addresses, folder: folder.to_owned(), database_url, worked: None })
    }

    /// Stops it.
    pub fn stop(&mut self) {
        self.daemon = None;
    }

    /// Stops it and starts it again with the same data, on one core if one is named.
    pub async fn restart(&mut self, core: Option<usize>) -> Result<()> {
        if self.daemon.is_some() {
            let resident = self.resident()?;
            self.worked.get_or_insert(resident);
        }
        self.daemon = None;
        let (daemon, addresses) = start(&self.folder, self.database_url.as_deref(), core).await?;
        (self.daemon, self.addresses) = (Some(daemon), addresses);
        Ok(())
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().map_or(0, Daemon::pid)
    }

    /// As [`Server::resident`], of the process that took all pushes.
    pub fn resident_after_pushes(&self) -> Result<(f64, f64)> {
        self.worked.map_or_else(|| self.resident(), Ok)
    }

    /// Its resident memory in MiB: all of it, and what of that is not backed by a file (proc(5)).
    pub fn resident(&self) -> Result<(f64, f64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let mib = |name: &str| -> Result<f64> {
            let kib = field(&status, name).and_then(|text| text.strip_suffix(" kB"));
            Ok(kib.with_context(|| format!("no {name} of the server"))?.trim().parse::<f64>()? / 1024.0)
        };
        Ok((mib("VmRSS")?, mib("RssAnon")?))
    }
}

/// Starts the server and waits until it serves.
async fn start(folder: &Path, database_url: Option<&str>, core: Option<usize>) -> Result<(Daemon, Addresses)> {
    let (program, ready) = (env!("CARGO_BIN_EXE_slipway"), folder.join("ready.json"));
    // Nobody shall read the addresses of the server before it.
    if ready.exists() {
        std::fs::remove_file(&ready)?;
    }
    let mut command = match core {
        None => Command::new(program),
        Some(core) => {
            let mut command = Command::new("taskset");
            command.args(["-c", &core.to_string(), program]);
            command
        }
    };
    // Defaults are measured, whatever this shell has set; only the engine and what builds trust are the caller's.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let is_callers = ["SLIPWAY_DOCKER_HOST", "SLIPWAY_BUILD_CA_BUNDLE"].contains(&name.as_ref());
        if name.starts_with("SLIPWAY_") && !is_callers {
            command.env_remove(name.as_ref());
        }
    }
    command.current_dir(folder).arg("serve").arg("--data-dir").arg(folder.join("data")).arg("--ready-file").arg(&ready);
    if let Some(url) = database_url {
        command.env("SLIPWAY_DATABASE_URL", url);
    }
    for listener in ["api", "ssh", "http", "https"] {
        command.arg(format!("--{listener}-addr")).arg("127.0.0.1:0");
    }
    let mut daemon = Daemon::start("slipway", &mut command, folder)?;
    let addresses = async || serde_json::from_slice(&std::fs::read(&ready).ok()?).ok();
    let addresses = daemon.until(READY_LIMIT, addresses).await?;
    Ok((daemon, addresses))
}
