//! The server's side of the pre-receive hook: one call per push, decided by policy and then by the platform.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backend::{Progress, ProgressLines, Push, PushBackend, Rejected, Said};
use super::refs;
use super::session::{Claim, Released, Session, Sessions};
use super::wire::{Frame, HookCall, MAX_CALL};
use crate::git::{GitError, Source};

/// Longest path of a unix socket: `sun_path` of unix(7), less its final zero.
const MAX_SOCKET_PATH: usize = 107;
/// How long a hook may take to say what was pushed.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// The listening socket.
pub(super) struct Gate {
    listener: UnixListener,
    path: PathBuf,
    /// Holds the socket when the wanted path is too long for one.
    _folder: Option<TempDir>,
}

/// What serving a hook needs.
#[derive(Clone)]
pub(super) struct Keeper {
    pub(super) sessions: Sessions,
    pub(super) backend: Arc<dyn PushBackend>,
    /// Owns the calls, which outlive the connections of their pushers.
    pub(super) tracker: TaskTracker,
    /// Fires when the server stops.
    pub(super) stop: CancellationToken,
}

impl Gate {
    /// Listens at `wanted`, or in a private temporary folder when that path is too long for a unix socket. A socket left
    /// by an earlier server is replaced.
    pub(super) fn bind(wanted: &Path) -> io::Result<Self> {
        let wanted = std::path::absolute(wanted)?;
        let private = || {
            let owner_only = std::fs::Permissions::from_mode(0o700);
            tempfile::Builder::new().prefix("slipway-").permissions(owner_only).tempdir()
        };
        let folder = (wanted.as_os_str().len() > MAX_SOCKET_PATH).then(private).transpose()?;
        let path = folder.as_ref().map_or(wanted, |folder| folder.path().join("hook.sock"));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path, _folder: folder })
    }

    /// Where it listens.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Serves hooks until `closed` fires; calls that are being served go on. The socket's file stays, for a later server
    /// to replace: removing it here could hit one that already has.
    pub(super) async fn run(self, keeper: Keeper, closed: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = closed.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let keeper = keeper.clone();
                    keeper.tracker.clone().spawn(async move { keeper.serve(stream).await });
                }
                Err(error) => crate::net::after_failed_accept("hook socket", &error).await,
            }
        }
    }
}

impl Keeper {
    async fn serve(&self, stream: UnixStream) {
        let (read, write) = stream.into_split();
        let (mut read, mut answer) = (BufReader::new(read), Answer { write, is_broken: false });
        let call = match tokio::time::timeout(CALL_LIMIT, read_call(&mut read)).await {
            Ok(Ok(call)) => call,
            Ok(Err(error)) => return answer.refuse(&Rejected::line(format!("Cannot read the push: {error}"))).await,
            Err(_) => return,
        };
        let Some(claim) = self.sessions.claim(&call.token) else {
            let lines = Rejected::line("This hook belongs to no push of this server. Push again.");
            return answer.refuse(&lines).await;
        };
        match self.decide(&claim.0, call, read, &mut answer).await {
            Ok(released) => {
                claim.0.release(released);
                answer.frame(&Frame::Released).await;
            }
            Err(rejected) => answer.refuse(&rejected).await,
        }
        // Only now: until here a git that dies is waited for.
        drop::<Claim>(claim);
    }

    async fn decide(
        &self,
        session: &Session,
        call: HookCall,
        read: BufReader<OwnedReadHalf>,
        answer: &mut Answer,
    ) -> Result<Released, Rejected> {
        let push = admit(session, call).await?;
        if self.stop.is_cancelled() {
            return Err(Rejected::line("Slipway is stopping. Push again in a moment."));
        }
        if session.cancel.is_cancelled() {
            return Err(Rejected::line("The push was cancelled."));
        }
        tracing::info!(app.name = %push.app, user.name = %push.user, commit = push.source.commit(), "push received");
        let (reference, commit) = (push.reference.clone(), push.source.commit().to_owned());
        let (progress, lines) = Progress::channel();
        let returned = CancellationToken::new();
        let receive = async {
            let result = self.backend.receive(push, progress, session.cancel.clone()).await;
            returned.cancel();
            result
        };
        let work = async { tokio::join!(receive, answer.show(lines, &returned)).0 };
        let lease = tokio::select! {
            result = work => result?,
            never = watch_hook(read, &session.cancel) => match never {},
        };
        Ok(Released { lease, reference, commit })
    }
}

/// Applies the rules that need no platform, and opens the pushed commit.
async fn admit(session: &Session, call: HookCall) -> Result<Push, Rejected> {
    let update = refs::deployed(&call.updates)?.clone();
    let (repository, quarantine) = (session.repository.clone(), call.quarantine.map(PathBuf::from));
    let (new, shallow) = (update.new.clone(), call.shallow);
    let read = move || -> Result<(Source, bool), GitError> {
        let source = Source::open(repository, quarantine, &new)?;
        let lacks_history = source.lacks_history(&shallow)?;
        Ok((source, lacks_history))
    };
    let read = tokio::task::spawn_blocking(read).await;
    let (source, lacks_history) = match read {
        Ok(Ok(read)) => read,
        Ok(Err(error @ GitError::NotACommit { .. })) => {
            return Err(Rejected::line(format!("{error}. Type: git push <remote> HEAD:{}", update.name)));
        }
        Ok(Err(error)) => return Err(unreadable(session, &error)),
        Err(error) => return Err(unreadable(session, &error)),
    };
    if source.is_tag() {
        return Err(refs::tag_on_branch(&update, source.commit()));
    }
    if lacks_history {
        return Err(Rejected::line(
            "This clone is shallow; its history is not all here. Type: git fetch --unshallow && git push",
        ));
    }
    Ok(Push {
        user: session.user.clone(),
        app: session.app.clone(),
        source,
        old: update.old().map(str::to_owned),
        reference: update.name,
        options: call.options,
    })
}

fn unreadable(session: &Session, error: &dyn std::error::Error) -> Rejected {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    tracing::error!(app.name = %session.app, "cannot read a push: {error}{cause}");
    Rejected::line("The pushed objects cannot be read on the server. Push again; if it stays so, see the server's log.")
}

async fn read_call(read: &mut BufReader<OwnedReadHalf>) -> io::Result<HookCall> {
    let mut line = Vec::new();
    read.take(MAX_CALL).read_until(b'\n', &mut line).await?;
    Ok(serde_json::from_slice(&line)?)
}

/// Fires `cancel` when the hook is gone, which then no longer accepts the push; never returns.
async fn watch_hook(mut read: BufReader<OwnedReadHalf>, cancel: &CancellationToken) -> std::convert::Infallible {
    // A hook says nothing after its call, so whatever comes is its end.
    let _ = read.read_u8().await;
    cancel.cancel();
    std::future::pending().await
}

/// The hook's socket, for frames. A hook that is gone is noticed elsewhere; frames to it are dropped.
struct Answer {
    write: OwnedWriteHalf,
    is_broken: bool,
}

impl Answer {
    async fn frame(&mut self, frame: &Frame) {
        if !self.is_broken {
            self.is_broken = self.write.write_all(&frame.encode()).await.is_err();
        }
    }

    async fn line(&mut self, line: &str) {
        self.frame(&Frame::Output(format!("{line}\n").into_bytes())).await;
    }

    async fn refuse(&mut self, rejected: &Rejected) {
        for line in &rejected.lines {
            self.line(format!(" !     {line}").trim_end()).await;
        }
        self.frame(&Frame::Exit(1)).await;
    }

    /// Shows lines until the platform has returned and everything it said before is shown.
    async fn show(&mut self, mut lines: ProgressLines, returned: &CancellationToken) {
        loop {
            tokio::select! {
                biased;
                said = lines.next() => match said {
                    Some(Said::Line(line)) => self.line(&line).await,
                    Some(Said::Released) => self.frame(&Frame::Released).await,
                    None => return,
                },
                () = returned.cancelled() => lines.close(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_path_too_long_for_a_socket_is_replaced_and_a_stale_socket_too() {
        let folder = tempfile::tempdir().unwrap();
        let short = folder.path().join("hook.sock");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        drop(Gate::bind(&short).unwrap());
        let gate = Gate::bind(&short).unwrap();
        assert_eq!((gate.path(), mode(&short)), (short.as_path(), 0o600));
        let gate = Gate::bind(&folder.path().join("d".repeat(120)).join("hook.sock")).unwrap();
        assert!(gate.path().as_os_str().len() <= MAX_SOCKET_PATH);
        assert_eq!(mode(gate.path().parent().unwrap()), 0o700);
    }
}
