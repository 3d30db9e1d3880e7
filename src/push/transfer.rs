//! One run of the real `git receive-pack` or `git upload-pack`, bridged to an SSH channel.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use russh::server::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, Command};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::exec::Service;
use super::server::PushConfig;
use super::session::OpenSession;
use super::wire::{SOCKET_VARIABLE, TOKEN_VARIABLE};

/// Largest chunk towards the client.
const CHUNK: usize = 32 * 1024;
/// How long git has to end by itself once nobody waits for it. It removes its quarantine then; killed, it cannot.
const GRACE: Duration = Duration::from_secs(10);
/// How long git has between SIGTERM and SIGKILL.
const KILL_GRACE: Duration = Duration::from_secs(3);
/// How long a stopping server waits for the platform to leave a push.
const STOP_GRACE: Duration = Duration::from_secs(30);
/// How long a pusher may not take any output: the app is locked meanwhile.
const PUSH_STALL: Duration = Duration::from_secs(60);
/// How long one who fetches may not: nobody waits for it.
const FETCH_STALL: Duration = Duration::from_secs(600);

/// What to run.
pub(super) struct Job<'a> {
    pub(super) config: &'a PushConfig,
    pub(super) hook_socket: &'a Path,
    pub(super) service: Service,
    pub(super) repository: PathBuf,
    /// The client's `GIT_PROTOCOL`, checked.
    pub(super) protocol: Option<String>,
    /// Of a push.
    pub(super) session: Option<OpenSession>,
    /// Fires when the server stops.
    pub(super) stop: &'a CancellationToken,
    /// Fires when whoever asked for this may not have it any more.
    pub(super) revoked: &'a CancellationToken,
    /// Owns what must not be left half done.
    pub(super) tracker: &'a TaskTracker,
}

/// How it ended.
pub(super) struct Outcome {
    /// Exit status for the client.
    pub(super) code: u32,
    /// Bytes the client sent.
    pub(super) received: u64,
    /// Whether git came as far as its hook.
    pub(super) has_called: bool,
}

impl Job<'_> {
    /// Runs git until it has ended, whatever the client does, and then ends the push's session.
    ///
    /// A client that goes away cancels the push; git goes on, its output dropped, for as long as the platform is at work
    /// and a little longer, and is killed only after that. So does one that loses access, who gets nothing more of a fetch.
    pub(super) async fn run(
        mut self,
        read: &mut ChannelReadHalf,
        write: &ChannelWriteHalf<Msg>,
    ) -> io::Result<Outcome> {
        let mut child = self.command().spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let stall = if self.session.is_some() { PUSH_STALL } else { FETCH_STALL };
        let link = Link { write, gone: CancellationToken::new(), stall, received: AtomicU64::new(0) };
        let session = self.session.take();
        let shared = session.as_ref().map(|open| open.session.clone());
        let watchdog = async {
            tokio::select! {
                () = link.gone.cancelled() => {}
                () = self.stop.cancelled() => {}
                () = self.revoked.cancelled() => {}
            }
            if let Some(session) = &shared {
                session.cancel.cancel();
                tokio::select! { () = session.quiet(GRACE) => {}, () = self.stopped_long_ago() => {} }
            } else if !self.revoked.is_cancelled() {
                tokio::time::sleep(GRACE).await;
            }
            kill(group).await
        };
        let ended = async {
            let status = child.wait().await;
            if let Some(session) = session {
                self.end(session).await;
            }
            status
        };
        let output = async { tokio::join!(link.copy_out(stdout, None), link.copy_out(stderr, Some(1)), ended).2 };
        let status = tokio::select! {
            status = output => status,
            never = link.copy_in(read, stdin) => match never {},
            never = watchdog => match never {},
        };
        // A signal has no exit status of its own; git's own "fatal" is 128.
        let code = status?.code().and_then(|code| u32::try_from(code).ok()).unwrap_or(128);
        let has_called = shared.is_some_and(|session| session.has_called());
        Ok(Outcome { code, received: link.received.load(Ordering::Relaxed), has_called })
    }

    /// Ends the push's session once git has ended, on the tracker: neither a client nor a stop tears it in two. Waits for
    /// it, so that a pusher who is done finds the app unlocked.
    async fn end(&self, session: OpenSession) {
        let ended = self.tracker.spawn(session.end());
        tokio::select! {
            ended = ended => if let Err(error) = ended {
                tracing::error!(%error, "a push could not be ended");
            },
            () = self.stopped_long_ago() => {}
        }
    }

    /// Waits until the server has been stopping for longer than the platform is waited for.
    async fn stopped_long_ago(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(STOP_GRACE).await;
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.config.git_bin);
        let setting = |name: &str, value: &Path| {
            let mut setting = OsString::from(name);
            setting.push("=");
            setting.push(value);
            setting
        };
        command.arg("-c").arg(setting("core.hooksPath", &self.config.hook_dir));
        command.arg("-c").arg(format!("receive.maxInputSize={}", self.config.max_push_bytes));
        // Slipway made these repositories; who owns the folder they were mounted from does not matter.
        command.arg("-c").arg("safe.directory=*");
        command.arg(self.service.command()).arg(&self.repository);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
        // Nobody's configuration but the repository's own, and English for the lines that pushers see.
        command.env("HOME", "/nonexistent").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command.env("LC_ALL", "C.UTF-8");
        if let Some(protocol) = &self.protocol {
            command.env("GIT_PROTOCOL", protocol);
        }
        if let Some(open) = &self.session {
            command.env(SOCKET_VARIABLE, self.hook_socket).env(TOKEN_VARIABLE, &open.token);
        }
        // A group of its own, so that a kill reaches what git started.
        command.process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Kills a process group, politely and then not; never returns.
async fn kill(group: Option<Pid>) -> std::convert::Infallible {
    for signal in [Signal::TERM, Signal::KILL] {
        if let Some(group) = group {
            // It may have ended by itself.
            let _ = kill_process_group(group, signal);
        }
        tokio::time::sleep(KILL_GRACE).await;
    }
    std::future::pending().await
}

/// The client's end of the bridge.
struct Link<'a> {
    write: &'a ChannelWriteHalf<Msg>,
    /// Fires when the client has gone, or might as well have.
    gone: CancellationToken,
    stall: Duration,
    received: AtomicU64,
}

impl Link<'_> {
    /// Copies what the client sends to git, and notices when the client goes; never returns.
    ///
    /// What git does not take any more is dropped, so that a client in the middle of a refused upload reads the refusal
    /// and not a broken pipe.
    async fn copy_in(&self, read: &mut ChannelReadHalf, mut stdin: Option<ChildStdin>) -> std::convert::Infallible {
        loop {
            match read.wait().await {
                Some(ChannelMsg::Data { data }) => {
                    self.received.fetch_add(data.len() as u64, Ordering::Relaxed);
                    if let Some(pipe) = &mut stdin
                        && pipe.write_all(&data).await.is_err()
                    {
                        stdin = None;
                    }
                }
                Some(ChannelMsg::Eof) => stdin = None,
                Some(ChannelMsg::Close) | None => {
                    drop(stdin);
                    self.gone.cancel();
                    return std::future::pending().await;
                }
                Some(_) => {}
            }
        }
    }

    /// Copies what git says to the client until git's end is closed; to nowhere once the client has gone.
    async fn copy_out(&self, pipe: Option<impl AsyncRead + Unpin>, extended: Option<u32>) {
        let Some(mut pipe) = pipe else { return };
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(CHUNK);
            match pipe.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => self.send(buffer.split().freeze(), extended).await,
            }
        }
    }

    async fn send(&self, chunk: bytes::Bytes, extended: Option<u32>) {
        let sent = async {
            match extended {
                None => self.write.data_bytes(chunk).await,
                Some(kind) => self.write.extended_data_bytes(kind, chunk).await,
            }
        };
        tokio::select! {
            biased;
            () = self.gone.cancelled() => {}
            // Waiting on a client's window ends with neither the channel nor the connection.
            sent = tokio::time::timeout(self.stall, sent) => if !matches!(sent, Ok(Ok(()))) {
                self.gone.cancel();
            }
        }
    }
}
