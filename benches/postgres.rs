//! A PostgreSQL server for the run, with the settings of the package.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::{Daemon, free_port, run};

/// How long it may take until it answers.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// A running server. Dropped, it is stopped and its files go.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    _daemon: Daemon,
    _folder: TempDir,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub async fn start() -> Result<Self> {
        let programs = programs().context("no PostgreSQL; type: apt-get install postgresql-15")?;
        // Not below the folder of the run: another user must be able to reach it.
        let folder = tempfile::Builder::new().prefix("slipway-bench-postgres-").tempdir()?;
        run(Command::new("chown").arg("postgres").arg(folder.path())).await?;
        let data = folder.path().join("data");
        let initdb = programs.join("initdb");
        let mut command = Command::new("setpriv");
        command.args(AS_POSTGRES).arg(initdb).arg("-D").arg(&data);
        run(command.args(["-U", "postgres", "-A", "trust", "--no-locale", "-E", "UTF8"]).current_dir("/")).await?;
        let port = free_port()?;
        let mut command = std::process::Command::new("setpriv");
        command.args(AS_POSTGRES).arg(programs.join("postgres")).arg("-D").arg(&data).args(["-p", &port.to_string()]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c"]).current_dir("/");
        command.arg(format!("unix_socket_directories={}", folder.path().display()));
        let mut daemon = Daemon::start("postgres", &mut command, folder.path())?;
        let url = url(port, "postgres");
        daemon.until(READY_LIMIT, async || PgConnection::connect(&url).await.ok()).await?;
        Ok(Self { port, _daemon: daemon, _folder: folder })
    }

    /// Makes an empty database; yields its URL.
    pub async fn database(&self, name: &'static str) -> Result<String> {
        let mut admin = PgConnection::connect(&url(self.port, "postgres")).await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await?;
        admin.close().await?;
        Ok(url(self.port, name))
    }
}

/// The server refuses to run as root.
const AS_POSTGRES: [&str; 3] = ["--reuid=postgres", "--regid=postgres", "--clear-groups"];

fn url(port: u16, database: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/{database}")
}

/// The folder of the newest server in Debian's place.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max()?;
    let programs = Path::new("/usr/lib/postgresql").join(newest.to_string()).join("bin");
    programs.join("initdb").is_file().then_some(programs)
}
