//! A new process takes over the listening sockets of the running server, so that an upgrade fails no request.
//!
//! The server waits at a socket in its data directory, which nobody else can open. Who connects gets the four listening
//! sockets, then words go back and forth, each a line:
//!
//! 1. new -> old `step aside`: the new one has understood what it got.
//! 2. old -> new `released`: operations have ended, the data directory is free. The old router goes on, so apps are served;
//!    connections to the API and to git wait in the queues of their sockets.
//! 3. new -> old `serving`: the new one accepts at all four. The old router stops accepting, drains, and its process ends.
//!
//! Whoever falls silent loses its place: without 3 the old one serves again.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::time::timeout;

use super::life::{GRACE, OPERATIONS_GRACE};
use super::listeners::Listeners;

/// The sockets, in the order in which they are handed over: API, SSH, HTTP, HTTPS.
const SOCKETS: usize = 4;
/// How long the other side may take for what it need not wait for.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How long the old process may take to release everything.
const RELEASE_LIMIT: Duration = OPERATIONS_GRACE.saturating_add(GRACE.saturating_mul(6));
/// How long the new process may take to serve, beside what instances may take to answer.
const BEGIN_LIMIT: Duration = Duration::from_secs(60);

const STEP_ASIDE: &str = "step aside";
const RELEASED: &str = "released";
const SERVING: &str = "serving";

/// The listening sockets; they stay open, and keep their queues, however many listeners come and go on them.
pub(super) struct Sockets([OwnedFd; SOCKETS]);

impl Sockets {
    /// A handle of each of these.
    pub fn of(listeners: [&TcpListener; SOCKETS]) -> io::Result<Self> {
        let owned = |listener: &TcpListener| listener.as_fd().try_clone_to_owned();
        let [api, ssh, http, https] = listeners;
        Ok(Self([owned(api)?, owned(ssh)?, owned(http)?, owned(https)?]))
    }

    /// Fresh listeners on the same sockets.
    pub fn listeners(&self) -> Result<Listeners> {
        let listener = |socket: &OwnedFd| {
            let listener = std::net::TcpListener::from(socket.try_clone()?);
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };
        let [api, ssh, http, https] = &self.0;
        let all = || Ok::<_, io::Error>([listener(api)?, listener(ssh)?, listener(http)?, listener(https)?]);
        Ok(Listeners::from(all().context("listening on the sockets of the server before")?))
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("takeover.sock")
}

/// Where a successor knocks. Closed when dropped.
pub(super) struct Door {
    listener: UnixListener,
    path: PathBuf,
}

impl Door {
    /// Opens it; whoever does holds the data directory.
    pub fn open(data_dir: &Path) -> Result<Self> {
        let path = path(data_dir);
        // Left by a server that was killed.
        let _gone_already = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).with_context(|| format!("opening {}", path.display()))?;
        Ok(Self { listener, path })
    }

    /// Waits for a process that takes over. Those that knock and go away again are forgotten. Cancel-safe, in that whoever was
    /// being talked to sees the connection end.
    pub async fn successor(&self, sockets: &Sockets) -> Successor {
        loop {
            let knocked = match self.listener.accept().await {
                Ok((stream, _)) => Successor::greet(stream, sockets).await,
                Err(error) => Err(error.into()),
            };
            match knocked {
                Ok(successor) => return successor,
                Err(error) => tracing::warn!(error = format!("{error:#}"), "somebody wanted to take over and did not"),
            }
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _gone_already = fs::remove_file(&self.path);
    }
}

/// The process that takes this one's place.
pub(super) struct Successor(Talk);

impl Successor {
    async fn greet(stream: UnixStream, sockets: &Sockets) -> Result<Self> {
        let descriptors = sockets.0.each_ref().map(OwnedFd::as_fd);
        let sent = stream.async_io(Interest::WRITABLE, || send(&stream, &descriptors));
        timeout(ANSWER_LIMIT, sent).await?.context("handing over the sockets")?;
        let mut talk = Talk::new(stream);
        talk.hear(STEP_ASIDE, ANSWER_LIMIT).await?;
        Ok(Self(talk))
    }

    /// Says that everything but the router has ended, and waits until the successor serves; `boot` is how long its apps may
    /// take to answer. Cancel-safe as [`Door::successor`].
    ///
    /// # Errors
    /// When it goes away, or takes too long.
    pub async fn begin(&mut self, boot: Duration) -> Result<()> {
        self.0.say(RELEASED).await?;
        self.0.hear(SERVING, BEGIN_LIMIT + boot).await
    }
}

/// The process whose place this one takes.
pub(super) struct Predecessor(Talk);

impl Predecessor {
    /// Finds the server of a data directory, and gets its sockets.
    ///
    /// # Errors
    /// When none serves there.
    pub async fn find(data_dir: &Path) -> Result<(Self, Sockets)> {
        let path = path(data_dir);
        let hint = || {
            format!(
                "no server to take over from at {}: start one with `slipway serve`, without --takeover",
                path.display()
            )
        };
        let stream = UnixStream::connect(&path).await.with_context(hint)?;
        let received = stream.async_io(Interest::READABLE, || receive(&stream));
        let sockets = timeout(ANSWER_LIMIT, received).await?.context("getting the sockets of the running server")?;
        Ok((Self(Talk::new(stream)), sockets))
    }

    /// Asks it to end everything but its router, and waits until it has.
    pub async fn step_aside(&mut self) -> Result<()> {
        self.0.say(STEP_ASIDE).await?;
        self.0
            .hear(RELEASED, RELEASE_LIMIT)
            .await
            .context("waiting for the running server to release its data directory")
    }

    /// Tells it that this process serves.
    pub async fn let_go(mut self) -> Result<()> {
        self.0.say(SERVING).await
    }
}

/// Lines there and back.
struct Talk(BufReader<UnixStream>);

impl Talk {
    fn new(stream: UnixStream) -> Self {
        Self(BufReader::new(stream))
    }

    async fn say(&mut self, word: &str) -> Result<()> {
        let line = format!("{word}\n");
        let said = timeout(ANSWER_LIMIT, self.0.get_mut().write_all(line.as_bytes())).await;
        said?.context("the other process went away")
    }

    async fn hear(&mut self, expected: &str, limit: Duration) -> Result<()> {
        let mut line = String::new();
        let heard = timeout(limit, self.0.read_line(&mut line)).await;
        heard.map_err(|_| anyhow!("no '{expected}' from the other process within {} s", limit.as_secs()))??;
        match line.trim_end() {
            word if word == expected => Ok(()),
            "" => bail!("the other process went away before it said '{expected}'"),
            other => bail!("the other process said '{}' instead of '{expected}'", other.escape_debug()),
        }
    }
}

fn send(stream: &UnixStream, descriptors: &[BorrowedFd<'_>; SOCKETS]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("no room for the descriptors"));
    }
    // Descriptors travel only with a byte.
    sendmsg(stream, &[IoSlice::new(b"\n")], &mut control, SendFlags::empty())?;
    Ok(())
}

fn receive(stream: &UnixStream) -> io::Result<Sockets> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let received: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    let sockets = received.try_into().map_err(|_| io::Error::other("the server did not send its sockets"))?;
    Ok(Sockets(sockets))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn any() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").await.expect("the loopback has ports")
    }

    #[tokio::test]
    async fn sockets_go_over_and_keep_their_queue() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let listeners = [any().await, any().await, any().await, any().await];
        let addresses = listeners.each_ref().map(|listener| listener.local_addr().expect("it is bound"));
        let sockets = Sockets::of(listeners.each_ref()).expect("handles");
        drop(listeners);
        // Nobody accepts now; the connection waits.
        let waiting = tokio::net::TcpStream::connect(addresses[2]).await.expect("the socket listens");
        let door = Door::open(folder.path()).expect("a socket");
        let old = async {
            let mut successor = door.successor(&sockets).await;
            successor.begin(Duration::ZERO).await
        };
        let new = async {
            let (mut predecessor, sockets) = Predecessor::find(folder.path()).await?;
            predecessor.step_aside().await?;
            let ready = sockets.listeners()?.ready();
            predecessor.let_go().await?;
            Ok::<_, anyhow::Error>((ready, sockets))
        };
        let (old, new) = tokio::join!(old, new);
        old.expect("the successor serves");
        let (ready, taken) = new.expect("the sockets came");
        let expect = addresses.map(|address| address.to_string());
        assert_eq!([ready.api, ready.ssh, ready.http, ready.https], expect);
        let http = std::net::TcpListener::from(taken.0[2].try_clone().expect("a handle"));
        http.set_nonblocking(true).expect("a socket");
        let http = TcpListener::from_std(http).expect("a listener");
        let (_, peer) = timeout(ANSWER_LIMIT, http.accept()).await.expect("it waited").expect("it is there");
        assert_eq!(peer, waiting.local_addr().expect("it is connected"));
    }

    #[tokio::test]
    async fn a_successor_that_goes_away_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let listeners = [any().await, any().await, any().await, any().await];
        let sockets = Sockets::of(listeners.each_ref()).expect("handles");
        let missing = Predecessor::find(folder.path()).await.err().expect("nobody serves");
        assert!(format!("{missing:#}").contains("without --takeover"), "{missing:#}");
        let door = Door::open(folder.path()).expect("a socket");
        let old = async {
            // The first one goes away before it says a word.
            let mut successor = door.successor(&sockets).await;
            successor.begin(Duration::ZERO).await
        };
        let new = async {
            drop(Predecessor::find(folder.path()).await.expect("it serves"));
            let (mut predecessor, _) = Predecessor::find(folder.path()).await.expect("it serves");
            predecessor.step_aside().await.expect("it steps aside");
        };
        let (old, ()) = tokio::join!(old, new);
        assert!(old.expect_err("it went away").to_string().contains("went away"));
    }
}
