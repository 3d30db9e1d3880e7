//! Programs that are run to their end, and servers that are ended with the run.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::time::timeout;

/// How long any one program may take.
const LIMIT: Duration = Duration::from_secs(120);
/// How long a server may take to end when asked to.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Between two looks at a server that is to end or to begin.
const LOOK: Duration = Duration::from_millis(20);
/// How much of a log is shown when something went wrong.
const TAIL_LINES: usize = 15;

/// Runs a program to its end; yields what it wrote to standard output, trimmed.
pub async fn run(command: &mut Command) -> Result<String> {
    let name = name(command);
    let (succeeded, out, err) = outcome(command).await?;
    if !succeeded {
        bail!("{name} failed:\n{}\n{}", tail(&out), tail(&err));
    }
    Ok(out.trim().to_owned())
}

/// Runs a program to its end, whatever that is: whether it succeeded, and what it wrote to its two outputs.
pub async fn outcome(command: &mut Command) -> Result<(bool, String, String)> {
    let name = name(command);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ended = timeout(LIMIT, command.output()).await;
    let output =
        ended.with_context(|| format!("{name} takes too long"))?.with_context(|| format!("starting {name}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.success(), text(&output.stdout), text(&output.stderr)))
}

/// The program and its first arguments, for messages.
fn name(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.take(6).map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// A server that runs in the foreground until it is dropped. Its output goes to a file.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    name: &'static str,
    log: PathBuf,
}

impl Daemon {
    /// Starts it; `folder` gets its log.
    pub fn start(name: &'static str, command: &mut std::process::Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { child, name, log })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` yields something.
    pub async fn until<T>(&mut self, limit: Duration, ready: impl AsyncFn() -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(found) = ready().await {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}:\n{}", self.name, self.log_tail());
            }
            if Instant::now() > deadline {
                bail!("{} is not ready after {} s:\n{}", self.name, limit.as_secs(), self.log_tail());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn log_tail(&self) -> String {
        tail(&std::fs::read_to_string(&self.log).unwrap_or_default())
    }

    /// Asks it to end, and makes it.
    fn stop(&mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        let deadline = Instant::now() + STOP_LIMIT;
        if let Some(pid) = pid {
            // It may have ended already.
            let _ = kill_process(pid, Signal::TERM);
        }
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(LOOK);
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            eprintln!("bench: {} does not end when asked to and is killed", self.name);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A TCP port of this machine that nobody listens on. Somebody may take it before it is used; whoever uses it says so.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Whether somebody accepts connections there.
pub async fn listens(port: u16) -> Option<()> {
    tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop)
}
