//! A Docker Engine of the test's own, which may be stopped and killed while other tests use the machine's.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::docker::{Docker, machine_engine};
use super::wait::{LONG, wait_until};
use super::{fresh_name, run};

/// What the sample apps stand on.
const STACK: &str = "slipway/stack:slipway-12-run";

/// A running engine. Dropped, it is stopped and everything that it had goes: let the servers that use it go before.
pub struct Engine {
    dir: TempDir,
    bridge: Bridge,
    process: Mutex<Option<Child>>,
}

impl Engine {
    /// Starts one that has the stack's run image.
    ///
    /// It leaves the machine's firewall alone, which belongs to the machine's own engine: its containers are reached from
    /// here and reach nothing outside.
    pub async fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("slipway-engine-").tempdir().expect("a folder can be made");
        let engine = Self { dir, bridge: Bridge::make(), process: Mutex::new(None) };
        engine.run().await;
        let script = format!("set -o pipefail; docker -H \"$0\" save {STACK} | docker -H \"$1\" load");
        let mut copy = tokio::process::Command::new("bash");
        let copied =
            copy.args(["-c", &script, &machine_engine(), &engine.host()]).output().await.expect("bash is there");
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        engine
    }

    /// Where it answers, as in `SLIPWAY_DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.path("docker.sock").display())
    }

    /// SIGTERM, which ends all its containers, too. Yields when it is gone.
    pub async fn stop(&self) {
        self.end(Signal::TERM).await;
    }

    /// `kill -9`: its containers run on until it is started again.
    pub async fn kill9(&self) {
        self.end(Signal::KILL).await;
    }

    /// Starts it, and waits until it answers.
    pub async fn run(&self) {
        let log = File::options().create(true).append(true).open(self.path("log")).expect("our own folder");
        let mut command = Command::new("dockerd");
        for (option, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            command.arg(option).arg(self.path(name));
        }
        // A killed engine leaves it behind, and would not start if another process had its number by now.
        let _ = std::fs::remove_file(self.path("pid"));
        command.args(["--host", &self.host(), "--bridge", &self.bridge.0, "--iptables=false", "--ip-forward=false"]);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        *self.process.lock().expect("not poisoned") = Some(command.spawn().expect("make test installs dockerd"));
        wait_until("the engine answers", LONG, async || match Docker::connect_to(&self.host()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{error}\n{}", self.log())),
        })
        .await;
    }

    async fn end(&self, signal: Signal) {
        let mut child = self.process.lock().expect("not poisoned").take().expect("it runs");
        kill(&child, signal);
        wait_until("the engine has ended", LONG, async || match child.try_wait() {
            Ok(Some(_)) => Ok(()),
            _ => Err(self.log()),
        })
        .await;
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The processes that a killed engine left: its containerd and what that runs.
    fn left(&self) -> Vec<Pid> {
        let dir = self.dir.path().display().to_string();
        let entries = std::fs::read_dir("/proc").expect("Linux has it").filter_map(Result::ok);
        let is_ours = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&dir)
        };
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_ours);
        pids.filter_map(Pid::from_raw).collect()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.lock().expect("not poisoned").take() {
            kill(&child, Signal::TERM);
            let _ = child.wait();
        }
        for pid in self.left() {
            let _ = kill_process(pid, Signal::KILL);
        }
        // What it mounted would keep the folder from going.
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let dir = self.dir.path().display().to_string();
        for at in mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|at| at.starts_with(&dir)) {
            let _ = Command::new("umount").args(["-l", at]).status();
        }
    }
}

/// Its default network. Without one of its own an engine takes that of the machine's engine, and told to have none it
/// removes that one.
struct Bridge(String);

impl Bridge {
    fn make() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = std::process::id().wrapping_add(MADE.fetch_add(1, Ordering::Relaxed)) % 256;
        let name = fresh_name("slip");
        run(Command::new("ip").args(["link", "add", &name, "type", "bridge"]));
        let bridge = Self(name);
        run(Command::new("ip").args(["addr", "add", &format!("10.207.{number}.1/24"), "dev", &bridge.0]));
        run(Command::new("ip").args(["link", "set", &bridge.0, "up"]));
        bridge
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", &self.0]).status();
    }
}

fn kill(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().cast_signed()).expect("a process has an id");
    let _ = kill_process(pid, signal);
}
