//! The door, driven by the real git and ssh, over a platform with state instead of builds.

mod access;
mod endings;
mod platform;
mod pushes;
mod tokens;

use std::borrow::BorrowMut;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::platform::{Deploy, Platform};
use super::{PushConfig, generate_host_key, hook, parse_host_key, serve, wire};
use crate::git::read_ref;

/// Longest wait for anything here.
const LIMIT: Duration = Duration::from_secs(60);

/// Not a test of its own: the program that the pre-receive hook runs is this one, so that no other needs to be built.
#[test]
fn hook_process() {
    if std::env::var_os(wire::SOCKET_VARIABLE).is_some() {
        std::process::exit(hook::status().into());
    }
}

/// A server with the apps `app` and `other` of bob, who pushes from the folder `work`, and an app `secret` of eve.
struct World {
    folder: TempDir,
    address: SocketAddr,
    platform: Arc<Platform>,
    stop: CancellationToken,
    tracker: TaskTracker,
    server: Option<JoinHandle<std::io::Result<()>>>,
}

impl World {
    async fn new() -> Self {
        Self::with_limit(0).await
    }

    async fn with_limit(max_push_bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let platform = Arc::new(Platform::new(path("repositories")));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let host_key = parse_host_key(&generate_host_key()).unwrap();
        let known = format!("[127.0.0.1]:{} {}\n", address.port(), host_key.public_key().to_openssh().unwrap());
        fs::write(path("known_hosts"), known).unwrap();
        let config = PushConfig {
            git_bin: "git".into(),
            hook_dir: path("hooks"),
            hook_program: hook_program(&path("it's a hook")),
            hook_socket: path("hook.sock"),
            max_push_bytes,
            address: address.to_string(),
        };
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let served = serve(listener, host_key, platform.clone(), config, tracker.clone(), stop.clone());
        let server = Some(tokio::spawn(served));
        let world = Self { folder, address, platform, stop, tracker, server };
        for (user, apps) in [("bob", &["app", "other"][..]), ("eve", &["secret"])] {
            world.key(user, "ed25519", &[]).await;
            apps.iter().for_each(|app| world.platform.add_app(app, user));
        }
        world.git(".", &["init", "-q", "-b", "main", "work"]).await;
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a key pair in the file `user` and registers it for that user.
    async fn key(&self, user: &str, kind: &str, options: &[&str]) {
        let path = self.path(&format!("{user}-{kind}{}", options.concat()));
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", kind, "-N", "", "-C", user]).args(options).arg("-f").arg(&path);
        assert!(command.status().await.unwrap().success());
        let public = fs::read_to_string(path.with_extension("pub")).unwrap();
        self.platform.add_key(&public, user);
        for suffix in ["", ".pub"] {
            fs::copy(format!("{}{suffix}", path.display()), self.path(&format!("{user}{suffix}"))).unwrap();
        }
    }

    /// The ssh command line of a user, without a host.
    fn ssh_line(&self, user: &str) -> String {
        format!(
            "ssh -F none -i {} -o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile={} -o \
             GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes -o LogLevel=ERROR",
            self.path(user).display(),
            self.path("known_hosts").display()
        )
    }

    /// The same for bob, over one connection that stays for the next command.
    fn shared_ssh_line(&self) -> String {
        let path = self.path("mux");
        format!("{} -o ControlMaster=auto -o ControlPersist=30 -o ControlPath={}", self.ssh_line("bob"), path.display())
    }

    fn url(&self, app: &str) -> String {
        format!("ssh://git@{}/{app}.git", self.address)
    }

    /// A git command of bob's, away from the machine's configuration, in its own process group.
    fn command(&self, folder: &str, arguments: &[&str]) -> Command {
        self.command_as("bob", folder, arguments)
    }

    fn command_as(&self, user: &str, folder: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=Bob", "-c", "user.email=bob@example.com"]).args(arguments);
        command.current_dir(self.path(folder)).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.folder.path());
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_SSH_COMMAND", self.ssh_line(user));
        command.process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs git, which must succeed; yields its trimmed output.
    async fn git(&self, folder: &str, arguments: &[&str]) -> String {
        let output = finish(self.command(folder, arguments)).await;
        assert!(output.status.success(), "git {arguments:?}: {}", heard(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits `work` with a file `deploy` that tells the platform what to do; yields the commit.
    async fn commit(&self, deploy: &str) -> String {
        fs::write(self.path("work/deploy"), deploy).unwrap();
        self.git("work", &["add", "-A"]).await;
        self.git("work", &["commit", "-q", "--allow-empty", "-m", deploy]).await;
        self.git("work", &["rev-parse", "HEAD"]).await
    }

    /// Pushes to `app` from `work`.
    async fn push(&self, arguments: &[&str]) -> Output {
        let url = self.url("app");
        finish(self.command("work", &[&["push", &url][..], arguments].concat())).await
    }

    /// Begins a push and waits until the pusher sees `line`.
    async fn push_until(&self, arguments: &[&str], line: &str) -> Running {
        let url = self.url("app");
        let mut child = self.command("work", &[&["push", &url][..], arguments].concat()).spawn().unwrap();
        let mut running = Running { lines: BufReader::new(child.stderr.take().unwrap()).lines(), child, seen: vec![] };
        running.until(line).await;
        running
    }

    fn repository(&self) -> PathBuf {
        self.platform.path("app")
    }

    fn tip(&self, branch: &str) -> Option<String> {
        read_ref(&self.repository(), &format!("refs/heads/{branch}")).unwrap()
    }

    fn tag(&self, name: &str) -> Option<String> {
        read_ref(&self.repository(), &format!("refs/tags/{name}")).unwrap()
    }

    /// Whether the repository holds neither packs nor loose objects nor leftovers of pushes.
    fn holds_nothing(&self) -> bool {
        let objects = self.repository().join("objects");
        let is_empty = |path: &Path| fs::read_dir(path).map_or(true, |mut entries| entries.next().is_none());
        fs::read_dir(&objects).unwrap().all(|entry| is_empty(&entry.unwrap().path()))
    }

    fn deploys(&self) -> Vec<Deploy> {
        self.platform.deploys()
    }

    /// Stops the server and waits for everything it owns.
    async fn close(mut self) {
        self.stop.cancel();
        let server = self.server.take().unwrap();
        tokio::time::timeout(LIMIT, server).await.expect("the server stops").unwrap().unwrap();
        self.tracker.close();
        tokio::time::timeout(LIMIT, self.tracker.wait()).await.expect("nothing is left running");
    }
}

/// A push in progress.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    seen: Vec<String>,
}

impl Running {
    /// Reads what the pusher sees until a line is `remote: ` and `line`.
    async fn until(&mut self, line: &str) {
        let wanted = format!("remote: {line}");
        while let Some(next) = tokio::time::timeout(LIMIT, self.lines.next_line()).await.expect("a line").unwrap() {
            self.seen.push(next.trim_end().to_owned());
            if self.seen.last() == Some(&wanted) {
                return;
            }
        }
        panic!("{wanted:?} was never said, but {:#?}", self.seen);
    }

    /// Sends a signal to git and what it started, as a terminal does.
    fn signal(&self, signal: Signal) {
        let group = Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process_group(group, signal).unwrap();
    }

    /// Waits for the end; yields success and everything the pusher saw.
    async fn end(mut self) -> (bool, String) {
        while let Some(line) = tokio::time::timeout(LIMIT, self.lines.next_line()).await.expect("an end").unwrap() {
            self.seen.push(line.trim_end().to_owned());
        }
        let status = tokio::time::timeout(LIMIT, self.child.wait()).await.unwrap().unwrap();
        (status.success(), self.seen.join("\n"))
    }
}

/// Writes a script that runs this test program as the hook.
fn hook_program(path: &Path) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let name = format!("{}::hook_process", module_path!().split_once("::").unwrap().1);
    let line = format!("#!/bin/sh\nexec '{}' --exact {name} --nocapture >/dev/null\n", test.display());
    fs::write(path, line).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_owned()
}

async fn finish(mut command: impl BorrowMut<Command>) -> Output {
    tokio::time::timeout(LIMIT, command.borrow_mut().output()).await.expect("the command ends").unwrap()
}

/// What a command said on standard error, without git's padding.
fn heard(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).replace("\r\n", "\n").replace('\r', "\n");
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// Polls until `condition` holds.
async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LIMIT, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
