//! A PostgreSQL server of the test's own.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use super::run;
use super::wait::{LONG, wait_until};

/// It refuses to run as root.
const AS_POSTGRES: [&str; 3] = ["--reuid=postgres", "--regid=postgres", "--clear-groups"];

/// A running server. Dropped, it is stopped and its files go.
pub struct Postgres {
    dir: TempDir,
    port: u16,
    process: Mutex<Option<Child>>,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub async fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("slipway-postgres-").tempdir().expect("a folder can be made");
        run(Command::new("chown").arg("postgres").arg(dir.path()));
        let port = TcpListener::bind("127.0.0.1:0").expect("a port is free").local_addr().expect("it has one").port();
        let server = Self { dir, port, process: Mutex::new(None) };
        let mut initdb = Command::new("setpriv");
        initdb.args(AS_POSTGRES).arg(programs().join("initdb")).arg("-D").arg(server.data()).current_dir("/");
        run(initdb.args(["-U", "postgres", "-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8"]));
        server.run().await;
        server
    }

    /// The database, as in `SLIPWAY_DATABASE_URL`.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// From now on every transaction that writes fails, as on a server that has become a replica.
    pub async fn refuse_writes(&self) {
        self.set("default_transaction_read_only = on").await;
    }

    /// Writes are taken again.
    pub async fn take_writes(&self) {
        self.set("default_transaction_read_only = off").await;
    }

    async fn set(&self, setting: &'static str) {
        let mut admin = PgConnection::connect(&self.url()).await.expect("it answers");
        for sql in [format!("ALTER SYSTEM SET {setting}"), "SELECT pg_reload_conf()".to_owned()] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut admin).await.expect("it obeys its administrator");
        }
        admin.close().await.expect("it answers");
    }

    /// Ends it at once, as a crash would.
    pub fn stop(&self) {
        let child = self.process.lock().expect("not poisoned").take();
        end(child.expect("it runs"));
    }

    /// Starts it, and waits until it answers.
    pub async fn run(&self) {
        let log = File::options().create(true).append(true).open(self.dir.path().join("log")).expect("our own folder");
        let mut command = Command::new("setpriv");
        command.args(AS_POSTGRES).arg(programs().join("postgres")).arg("-D").arg(self.data()).current_dir("/");
        command.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c"]);
        command.arg(format!("unix_socket_directories={}", self.dir.path().display()));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        *self.process.lock().expect("not poisoned") = Some(command.spawn().expect("util-linux has setpriv"));
        wait_until("PostgreSQL answers", LONG, async || match PgConnection::connect(&self.url()).await {
            Ok(connection) => connection.close().await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        })
        .await;
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(child) = self.process.lock().expect("not poisoned").take() {
            end(child);
        }
    }
}

fn end(mut child: Child) {
    let pid = Pid::from_raw(child.id().cast_signed()).expect("a process has an id");
    // Its immediate shutdown: nobody is waited for.
    let _ = kill_process(pid, Signal::QUIT);
    let _ = child.wait();
}

/// The folder of the newest server in Debian's place.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max();
    let newest = newest.expect("make test installs PostgreSQL");
    Path::new("/usr/lib/postgresql").join(newest.to_string()).join("bin")
}
