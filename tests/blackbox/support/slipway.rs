//! The server under test: the real binary, with a data folder and ports of its own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use super::database::Database;
use super::wait::{LONG, SHORT, look_until, wait_until};
use super::{Docker, Engine, Finished, KeyKind, Postgres, Running, User, invariants};

/// Servers at the same time: more would only make each other slow.
static SLOTS: Semaphore = Semaphore::const_new(3);

/// What `make test` prepares; looked at once.
static PREPARED: OnceCell<Result<(), String>> = OnceCell::const_new();

/// What a server is started with, beside what every one of them gets.
#[derive(Debug, Clone, Default)]
pub struct Options {
    env: Vec<(String, String)>,
    args: Vec<String>,
    /// Bytes of a disk of its own.
    disk: Option<u64>,
    /// Where an engine of the test's own answers; for all lives of the server.
    engine: Option<String>,
    /// The URL of a PostgreSQL database; for all lives of the server.
    database: Option<String>,
}

impl Options {
    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds arguments behind `serve`.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// Puts everything of the server on a disk of its own, of so many bytes.
    #[must_use]
    pub fn disk(mut self, bytes: u64) -> Self {
        self.disk = Some(bytes);
        self
    }

    /// Gives the server an engine of the test's own.
    #[must_use]
    pub fn engine(mut self, engine: &Engine) -> Self {
        self.engine = Some(engine.host());
        self
    }

    /// Keeps the server's rows in PostgreSQL instead of in a file.
    #[must_use]
    pub fn database(mut self, server: &Postgres) -> Self {
        self.database = Some(server.url());
        self
    }
}

/// Where a server can be reached.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    pub api: SocketAddr,
    pub ssh: SocketAddr,
    pub http: SocketAddr,
    pub https: SocketAddr,
}

/// A server. Dropped, it is checked, stopped and wiped away with everything that it made.
pub struct Slipway {
    /// Unmounted before the folder goes.
    _disk: Option<Disk>,
    dir: TempDir,
    process: Mutex<Process>,
    docker: Docker,
    /// The engine's address, where it is one of the test's own.
    engine: Option<String>,
    database: Database,
    /// As in `SLIPWAY_DATABASE_URL`, where it is no file.
    database_url: Option<String>,
    http: reqwest::Client,
    foreign_images: Mutex<Vec<String>>,
    /// Operations that were seen stopped at a step.
    pauses: AtomicUsize,
    /// The server is brought into trouble that it may well call an error.
    may_log_errors: AtomicBool,
    _slot: SemaphorePermit<'static>,
}

struct Process {
    child: Option<Child>,
    addresses: Addresses,
    options: Options,
}

impl Slipway {
    /// Starts a server.
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// Starts a server with these options.
    pub async fn start_with(options: Options) -> Self {
        let slot = SLOTS.acquire().await.expect("it is never closed");
        let prepared = PREPARED.get_or_init(look_at_this_machine).await;
        prepared.as_ref().unwrap_or_else(|problem| panic!("{problem}"));
        let dir = tempfile::Builder::new().prefix("slipway-test-").tempdir().expect("a temporary folder can be made");
        let disk = options.disk.map(|bytes| Disk::mount(&dir.path().join("data"), bytes));
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let addresses = Addresses { api: nowhere, ssh: nowhere, http: nowhere, https: nowhere };
        let database = match &options.database {
            Some(url) => Database::postgres(url),
            None => Database::sqlite(&dir.path().join("data")),
        };
        let (engine, database_url) = (options.engine.clone(), options.database.clone());
        let server = Self {
            dir,
            process: Mutex::new(Process { child: None, addresses, options }),
            docker: connect(engine.as_deref()).await,
            engine,
            database,
            database_url,
            http: client(),
            foreign_images: Mutex::default(),
            pauses: AtomicUsize::new(0),
            may_log_errors: AtomicBool::new(false),
            _disk: disk,
            _slot: slot,
        };
        server.spawn().await;
        server
    }

    /// The administrator: whoever registers first.
    pub async fn admin(&self) -> User<'_> {
        User::register(self, "admin", KeyKind::Ed25519).await
    }

    /// An administrator, so that the next one is none, and then an ordinary person who owns the apps of the test.
    pub async fn owner(&self) -> User<'_> {
        self.admin().await;
        User::register(self, "owner", KeyKind::Ed25519).await
    }

    /// Another ordinary person, who was given nothing.
    pub async fn stranger(&self) -> User<'_> {
        User::register(self, "stranger", KeyKind::Ed25519).await
    }

    /// Starts the process and waits until it serves.
    async fn spawn(&self) {
        let ready = self.ready_file();
        // One that is left from an earlier life must not be taken for this one's.
        let _ = std::fs::remove_file(&ready);
        let options = self.process.lock().expect("not poisoned").options.clone();
        let mut command = self.command(&options);
        command.arg("serve").args(&options.args);
        self.adopt(command).await;
    }

    /// A new process takes over from the one that runs, which has to end with status 0.
    pub async fn take_over(&self) {
        let options = self.process.lock().expect("not poisoned").options.clone();
        let mut command = self.command(&options);
        command.args(["serve", "--takeover"]).args(&options.args);
        let old = self.process.lock().expect("not poisoned").child.take();
        let mut old = old.expect("it runs");
        self.adopt(command).await;
        let ended = look_until(LONG, async || match old.try_wait() {
            Ok(Some(status)) => Ok(status),
            _ => Err("the old server still runs".to_owned()),
        });
        let status = ended.await.unwrap_or_else(|problem| panic!("{problem}\n{}", self.log()));
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    /// Starts a process that is the server from now on, and waits until it says that it serves.
    async fn adopt(&self, mut command: Command) {
        let ready = self.ready_file();
        let child = command.spawn().expect("the binary was built by cargo");
        let pid = child.id();
        self.process.lock().expect("not poisoned").child = Some(child);
        let written: Value = wait_until("the server is ready", LONG, async || {
            if let Some(status) = self.ended() {
                panic!("slipway serve ended with {status}:\n{}", self.log());
            }
            let text = std::fs::read_to_string(&ready).map_err(|error| error.to_string())?;
            let written: Value = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("the ready file is half written ({error}): {text}"));
            // Until then it is that of the server before.
            if written["pid"] == pid { Ok(written) } else { Err(text) }
        })
        .await;
        let address = |name: &str| {
            let text = written[name].as_str().unwrap_or_else(|| panic!("no {name} in the ready file: {written}"));
            text.parse().unwrap_or_else(|error| panic!("{name} '{text}' is no address: {error}"))
        };
        self.process.lock().expect("not poisoned").addresses =
            Addresses { api: address("api"), ssh: address("ssh"), http: address("http"), https: address("https") };
    }

    /// The binary with this server's settings in its environment and none of the caller's.
    pub fn command(&self, options: &Options) -> Command {
        let log = File::options().create(true).append(true).open(self.log_file()).expect("our own folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SLIPWAY_")) {
            command.env_remove(name);
        }
        command.current_dir(self.dir.path()).stdin(Stdio::null()).stderr(log.try_clone().expect("a file")).stdout(log);
        command.env_remove("RUST_LOG").env("SLIPWAY_DATA_DIR", self.data_dir());
        command.env("SLIPWAY_READY_FILE", self.ready_file()).env("SLIPWAY_PAUSE_FILE", self.pause_file());
        for name in ["API", "SSH", "HTTP", "HTTPS"] {
            command.env(format!("SLIPWAY_{name}_ADDR"), "127.0.0.1:0");
        }
        let bundle = "/etc/ssl/certs/ca-certificates.crt";
        if Path::new(bundle).exists() {
            command.env("SLIPWAY_BUILD_CA_BUNDLE", bundle);
        }
        command.envs(self.engine.iter().map(|host| ("SLIPWAY_DOCKER_HOST", host)));
        command.envs(self.database_url.iter().map(|url| ("SLIPWAY_DATABASE_URL", url)));
        command.env("SLIPWAY_BOOT_TIMEOUT", "40s").env("SLIPWAY_DRAIN_TIMEOUT", "15s").env("SLIPWAY_STOP_GRACE", "8s");
        command.envs(options.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// `kill -9`
    pub async fn kill9(&self) {
        let child = self.process.lock().expect("not poisoned").child.take();
        let mut child = child.expect("it runs");
        child.kill().expect("our own child");
        child.wait().expect("our own child");
    }

    /// SIGTERM; the process has to end with status 0.
    pub async fn stop(&self) {
        self.try_stop().await.unwrap_or_else(|problem| panic!("{problem}\n{}", self.log()));
    }

    async fn try_stop(&self) -> Result<(), String> {
        let mut child = self.process.lock().expect("not poisoned").child.take().ok_or("the server does not run")?;
        signal(&child, Signal::TERM);
        let ended = look_until(SHORT, async || match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            _ => Err(format!("the server still runs {} s after SIGTERM", SHORT.as_secs())),
        })
        .await;
        if ended.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        match ended?.code() {
            Some(0) => Ok(()),
            code => Err(format!("the server ended by SIGTERM with status {code:?}")),
        }
    }

    /// Starts the server again on the same data, with the same options.
    pub async fn restart(&self) {
        self.spawn().await;
    }

    /// Starts the server again on the same data, with other options.
    pub async fn restart_with(&self, options: Options) {
        self.process.lock().expect("not poisoned").options = options;
        self.spawn().await;
    }

    /// From now on operations stop after the recorded step `place`, as in `push:release`, until [`Slipway::go_on`].
    pub fn pause_after(&self, place: &str) {
        std::fs::write(self.pause_file(), place).expect("our own folder");
    }

    /// Operations stop no more, and those that stand at a step go on.
    pub fn go_on(&self) {
        let _ = std::fs::remove_file(self.pause_file());
    }

    fn pause_file(&self) -> PathBuf {
        self.dir.path().join("pause")
    }

    /// Waits until one more operation is stopped at its step by [`Slipway::pause_after`].
    pub async fn paused(&self) {
        let wanted = self.pauses.load(Ordering::Relaxed) + 1;
        wait_until("the operation has reached its step", LONG, async || {
            let log = self.log();
            if log.matches("paused for a test").count() < wanted { Err(log) } else { Ok(()) }
        })
        .await;
        self.pauses.store(wanted, Ordering::Relaxed);
    }

    /// Waits until nothing is in progress.
    pub async fn settle(&self) {
        self.settle_within(SHORT).await;
    }

    /// Waits so long until nothing is in progress.
    pub async fn settle_within(&self, limit: Duration) {
        let settled = invariants::is_settled(&self.database, &self.docker, &self.id().await, limit).await;
        settled.unwrap_or_else(|problem| panic!("{problem}\n{}", self.log()));
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.process.lock().expect("not poisoned").addresses
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.lock().expect("not poisoned").child.as_ref().expect("it runs").id()
    }

    /// What it calls itself in the engine's labels.
    pub async fn id(&self) -> String {
        let found = self.database.texts("SELECT value FROM settings WHERE name = 'server_id'").await;
        found.unwrap_or_default().pop().unwrap_or_else(|| panic!("the server has no id:\n{}", self.log()))
    }

    /// The first column of a query on its database.
    pub async fn rows(&self, sql: &'static str) -> Vec<String> {
        self.database.texts(sql).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Changes its database while it is stopped: time that a test cannot wait for has passed.
    pub async fn change_rows(&self, sql: &'static str) {
        assert!(self.process.lock().expect("not poisoned").child.is_none(), "the server runs");
        self.database.change(sql).await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// The engine.
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// A client that follows no redirects and asks no proxy.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Its data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Where it says that it is ready.
    pub fn ready_file(&self) -> PathBuf {
        self.dir.path().join("ready.json")
    }

    /// What it has said so far, in all its lives.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Runs the command line on this server's data, with these settings beside the server's own.
    pub async fn cli(&self, args: &[&str], settings: &[(&str, &str)]) -> Finished {
        self.start_cli(args, settings).finish().await
    }

    /// Starts the command line.
    pub fn start_cli(&self, args: &[&str], settings: &[(&str, &str)]) -> Running {
        let options = self.process.lock().expect("not poisoned").options.clone();
        let mut command = self.command(&options);
        command.args(args).envs(settings.iter().copied());
        Running::start(&mut tokio::process::Command::from(command)).called(format!("slipway {}", args.join(" ")))
    }

    /// Errors in the server's log are no fault from now on.
    pub fn may_log_errors(&self) {
        self.may_log_errors.store(true, Ordering::Relaxed);
    }

    /// Removes an image of the test's own at the end.
    pub fn remove_image_at_the_end(&self, tag: &str) {
        self.foreign_images.lock().expect("not poisoned").push(tag.to_owned());
    }

    /// Builds an image from a sample app without Slipway, and removes it at the end.
    pub async fn foreign_image(&self, fixture: &str) -> String {
        let tag = format!("slipway-test/{}:1", fresh_name("image"));
        self.docker.build_fixture(fixture, &tag).await;
        self.foreign_images.lock().expect("not poisoned").push(tag.clone());
        tag
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }

    /// How the process ended, if it has.
    fn ended(&self) -> Option<ExitStatus> {
        let mut process = self.process.lock().expect("not poisoned");
        process.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// Checks what has to hold at the end, stops the server, removes everything it made; yields what did not hold.
    async fn finish(&self, is_failing: bool) -> Vec<String> {
        let docker = connect(self.engine.as_deref()).await;
        let id = self.database.texts("SELECT value FROM settings WHERE name = 'server_id'").await;
        let id = id.unwrap_or_default().pop();
        let mut faults = Vec::new();
        if let (false, Some(id)) = (is_failing, &id) {
            let runs = self.process.lock().expect("not poisoned").child.is_some();
            if runs {
                faults.extend(invariants::is_settled(&self.database, &docker, id, SHORT).await.err());
                faults.extend(self.ended().map(|status| format!("the server ended by itself with {status}")));
                faults.extend(self.try_stop().await.err());
            }
            if !self.may_log_errors.load(Ordering::Relaxed) {
                faults.extend(invariants::errors_in(&self.log()));
            }
        }
        if let Some(mut child) = self.process.lock().expect("not poisoned").child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(id) = id {
            docker.wipe(&id).await;
        }
        let mut images = std::mem::take(&mut *self.foreign_images.lock().expect("not poisoned"));
        // Names that were given to images from elsewhere: those carry no label of the server.
        images.extend(
            self.database.texts("SELECT engine_image FROM builds WHERE kind = 'image'").await.unwrap_or_default(),
        );
        for image in images {
            docker.remove_image(&image).await;
        }
        faults
    }
}

impl Drop for Slipway {
    fn drop(&mut self) {
        let is_failing = std::thread::panicking();
        // The test's own runtime cannot run anything here.
        let faults = std::thread::scope(|scope| {
            let finish = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime can be made").block_on(self.finish(is_failing))
            };
            scope.spawn(finish).join()
        });
        let faults = faults.unwrap_or_else(|_| vec!["the clean-up panicked; see above".to_owned()]);
        if is_failing || !faults.is_empty() {
            eprintln!("---- what the server said ----\n{}---- end ----", self.log());
        }
        if !is_failing {
            assert!(faults.is_empty(), "at the end of the test: {}", faults.join("\n"));
        }
    }
}

/// A name for an app that no other test has: `web-1a2b3c`.
pub fn fresh_name(prefix: &str) -> String {
    let id = uuid::Uuid::new_v4().simple().to_string();
    format!("{prefix}-{}", &id[..6])
}

/// The engine at that address, or the machine's.
async fn connect(engine: Option<&str>) -> Docker {
    let connected = match engine {
        Some(host) => Docker::connect_to(host).await,
        None => Docker::connect().await,
    };
    connected.expect("it answered before")
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().cast_signed()).expect("a process has an id");
    // One that has just ended takes no signal, which is what the caller finds out next.
    let _ = kill_process(pid, signal);
}

fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    builder.timeout(LONG).build().expect("a client without TLS can always be made")
}

async fn look_at_this_machine() -> Result<(), String> {
    let docker = Docker::connect().await;
    let docker = docker.map_err(|error| format!("the engine does not answer ({error}). Type: make test"))?;
    for image in ["slipway/stack:slipway-12-run", "slipway/stack:slipway-12-build"] {
        if !docker.has_image(image).await {
            return Err(format!("stack image {image} is missing. Type: make test (or: slipway stack build)"));
        }
    }
    Ok(())
}

/// A small file system in memory.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, bytes: u64) -> Self {
        std::fs::create_dir(at).expect("our own folder");
        let size = format!("size={bytes},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "slipway-test"]).arg(at).status();
        assert!(mounted.is_ok_and(|status| status.success()), "cannot mount a disk at {}: be root", at.display());
        Self(at.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: what still has a file open there must not keep the folder from going.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
