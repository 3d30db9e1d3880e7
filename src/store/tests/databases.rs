//! A fresh database per test: a file for SQLite, one database of a server that the whole suite shares for PostgreSQL.

use std::io::{Read, Seek};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tokio::sync::OnceCell;

use super::super::{Sealer, Store, random_hex};

/// Makes two tests of each body, an `async fn(Database)`.
macro_rules! on_both {
    ($($body:ident),+ $(,)?) => {
        mod sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $body() {
                crate::store::tests::databases::on_sqlite(super::$body).await;
            }
        )+}
        mod postgres {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $body() {
                crate::store::tests::databases::on_postgres(super::$body).await;
            }
        )+}
    };
}
pub(super) use on_both;

/// An empty, migrated database.
pub(super) struct Database {
    pub(super) store: Store,
    pub(super) url: String,
}

impl Database {
    async fn open(url: String) -> Self {
        Self { store: Store::open(&url, sealer()).await.unwrap(), url }
    }
}

/// The key of every store in this suite, so that one can open what another has sealed.
pub(super) fn sealer() -> Sealer {
    Sealer::new([7; 32])
}

pub(super) async fn on_sqlite(body: impl AsyncFnOnce(Database)) {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(format!("sqlite://{}/test.db?mode=rwc", folder.path().display())).await;
    let store = database.store.clone();
    body(database).await;
    store.close().await;
}

pub(super) async fn on_postgres(body: impl AsyncFnOnce(Database)) {
    static SERVER: OnceCell<Server> = OnceCell::const_new();
    let server = SERVER.get_or_init(Server::start).await;
    let name = format!("test_{}", random_hex(8));
    let mut admin = PgConnection::connect(&server.url("postgres")).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.unwrap();
    admin.close().await.unwrap();
    let database = Database::open(server.url(&name)).await;
    let store = database.store.clone();
    body(database).await;
    store.close().await;
}

/// A PostgreSQL server for this process.
struct Server {
    port: u16,
    /// Closed by the kernel when this process ends, however it ends; that stops the server and removes its files.
    _lifeline: ChildStdin,
}

/// Runs a server until standard input ends, then removes every trace of it. Arguments: folder of the programs, port.
/// A server that is only just starting does not hear the first signal.
const RUN: &str = r#"
trap '' INT TERM HUP
exec 3<&0
dir=$(mktemp -d -p /tmp slipway-postgres.XXXXXX) || exit 1
if "$1/initdb" -D "$dir/data" -U postgres -A trust --no-sync --no-locale -E UTF8 >&2; then
    "$1/postgres" -D "$dir/data" -p "$2" -c listen_addresses=127.0.0.1 -c unix_socket_directories="$dir" \
        -c max_connections=500 -c fsync=off >&2 3<&- &
    server=$!
    (read -r _ <&3; while kill -QUIT $server; do sleep 0.1; done) 2>/dev/null &
    watch=$!
    wait $server
    kill -KILL $watch
fi
rm -rf "$dir"
"#;

impl Server {
    async fn start() -> Self {
        let programs = programs().expect("these tests need PostgreSQL; type: apt-get install postgresql");
        let mut said = String::new();
        // Between choosing a port and taking it, somebody else may take it.
        for _ in 0..3 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut log = tempfile::tempfile().unwrap();
            let mut shell = unprivileged_shell()
                .args(["-c", RUN, "sh"])
                .arg(&programs)
                .arg(port.to_string())
                .current_dir("/")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(log.try_clone().unwrap())
                .spawn()
                .unwrap();
            let server = Self { port, _lifeline: shell.stdin.take().unwrap() };
            if server.is_ready(&mut shell).await {
                return server;
            }
            drop(server);
            said.clear();
            log.rewind().unwrap();
            log.read_to_string(&mut said).unwrap();
        }
        panic!("PostgreSQL does not start: {said}");
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Waits until it answers; `false` when it gave up or took a minute.
    async fn is_ready(&self, shell: &mut Child) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline && shell.try_wait().unwrap().is_none() {
            if let Ok(connection) = PgConnection::connect(&self.url("postgres")).await {
                connection.close().await.unwrap();
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }
}

/// A shell that is not root: PostgreSQL refuses to run as root.
fn unprivileged_shell() -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new("sh");
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "sh"]);
    command
}

/// The folder of the newest installed server: Debian's place, or wherever `PATH` has it.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max();
    let debian = newest.map(|version| Path::new("/usr/lib/postgresql").join(version.to_string()).join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    debian.into_iter().chain(std::env::split_paths(&path)).find(|folder| folder.join("initdb").is_file())
}
