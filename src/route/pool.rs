//! Connections to one upstream: opened with a time limit, used again while young, all ended by one call.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::again::Copy;
use super::config::RouterConfig;
use super::hearing::Hearing;
use super::upload::Upload;

/// How long a connection that was given back may take until it can carry the next request.
const READY_GRACE: Duration = Duration::from_millis(100);

/// An HTTP/1.1 connection to an upstream. A task of the pool drives it; dropping this ends that task.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Sends one request at a time.
    pub(crate) sender: http1::SendRequest<Upload>,
    /// Whoever uses the connection keeps its deadlines with this. One timer for the life of a connection: moving a
    /// deadline to a later time is a store, where a new timer for each request takes the runtime's timer lock.
    pub(crate) timer: Pin<Box<Sleep>>,
    /// What is out on it, as long as no answer has come. Boxed once, because connections go from hand to hand.
    pub(crate) copy: Box<Copy>,
    /// Whether it has carried a request before, and so may have been closed by the upstream meanwhile.
    pub(crate) is_reused: bool,
    /// How long the upstream keeps it open, if it said so.
    pub(crate) keep_alive: Option<Duration>,
    /// The bounds it was opened under.
    pub(crate) config: Arc<RouterConfig>,
    idle_since: Instant,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The upstream's address does not accept.
    #[error("cannot connect: {0}")]
    Refused(#[source] io::Error),
    /// Nothing answered.
    #[error("no connection within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The upstream has been cut off.
    #[error("the upstream was cut off")]
    Cut,
}

/// The connections of one upstream.
#[derive(Debug)]
pub(crate) struct Pool {
    address: SocketAddr,
    idle: Mutex<Idle>,
    /// Owns every task of this upstream: connections and upgraded tunnels. Dropping the pool aborts them.
    tasks: Mutex<Tasks>,
}

#[derive(Debug, Default)]
struct Idle {
    /// Youngest at the back, which is the end that is used: under less load the old ones fall out of use together.
    connections: VecDeque<Connection>,
    is_draining: bool,
}

#[derive(Debug, Default)]
struct Tasks {
    set: JoinSet<()>,
    is_cut: bool,
}

impl Pool {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, idle: Mutex::default(), tasks: Mutex::default() }
    }

    /// A connection that has been used before, is still open and not too old.
    pub(crate) async fn reuse(&self, config: &RouterConfig) -> Option<Connection> {
        loop {
            let mut connection = self.take_idle(config)?;
            // Right after a body's end the driving task needs a moment; longer only when the upstream has answered
            // without reading what we sent, and then the connection is of no use.
            if connection.sender.is_ready()
                || timeout(READY_GRACE, connection.sender.ready()).await.is_ok_and(|ready| ready.is_ok())
            {
                return Some(connection);
            }
        }
    }

    fn take_idle(&self, config: &RouterConfig) -> Option<Connection> {
        let now = Instant::now();
        let mut idle = lock(&self.idle);
        while let Some(connection) = idle.connections.pop_back() {
            let age = now.saturating_duration_since(connection.idle_since);
            if age > config.pool_idle_timeout {
                // Those below are older still.
                idle.connections.clear();
                return None;
            }
            if !connection.sender.is_closed() && connection.keep_alive.is_none_or(|limit| age < limit) {
                return Some(connection);
            }
        }
        None
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self, config: &Arc<RouterConfig>) -> Result<Connection, ConnectError> {
        let limit = config.connect_timeout;
        let stream = match timeout(limit, TcpStream::connect(self.address)).await {
            Ok(connected) => connected.map_err(ConnectError::Refused)?,
            Err(_) => return Err(ConnectError::TimedOut(limit)),
        };
        stream.set_nodelay(true).map_err(ConnectError::Refused)?;
        // One contiguous write costs the kernel less than a gathered one, and requests are small.
        let mut builder = http1::Builder::new();
        builder.writev(false).max_headers(config.max_header_lines);
        let (sender, driver) = match builder.handshake(TokioIo::new(Hearing::new(stream))).await {
            Ok(opened) => opened,
            Err(error) => return Err(ConnectError::Refused(io::Error::other(error))),
        };
        // How the connection ended is told to whoever waits for a response on it.
        let is_open = self.spawn(async move { drop(driver.with_upgrades().await) });
        if !is_open {
            return Err(ConnectError::Cut);
        }
        let timer = Box::pin(sleep(limit));
        let (config, idle_since) = (Arc::clone(config), Instant::now());
        Ok(Connection { sender, timer, copy: Box::default(), is_reused: false, keep_alive: None, config, idle_since })
    }

    /// Takes a connection back after a complete exchange.
    pub(crate) fn give_back(&self, mut connection: Connection) {
        connection.is_reused = true;
        connection.idle_since = Instant::now();
        let mut idle = lock(&self.idle);
        if idle.is_draining || connection.sender.is_closed() {
            return;
        }
        let config = &connection.config;
        if let Some(oldest) = idle.connections.front()
            && (idle.connections.len() >= config.pool_size
                || connection.idle_since.saturating_duration_since(oldest.idle_since) > config.pool_idle_timeout)
        {
            idle.connections.pop_front();
        }
        idle.connections.push_back(connection);
    }

    /// Runs a task that ends with the upstream. False when the upstream has been cut off already.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> bool {
        let mut tasks = lock(&self.tasks);
        // Frees what ended; a task that panicked has told its peer by dropping its end.
        while tasks.set.try_join_next().is_some() {}
        if !tasks.is_cut {
            tasks.set.spawn(task);
        }
        !tasks.is_cut
    }

    /// Whether everything was ended.
    pub(crate) fn is_cut(&self) -> bool {
        lock(&self.tasks).is_cut
    }

    /// Closes what is idle, now and from now on.
    pub(crate) fn drain(&self) {
        let mut idle = lock(&self.idle);
        idle.is_draining = true;
        idle.connections.clear();
    }

    /// Ends everything.
    pub(crate) fn cut(&self) {
        self.drain();
        let mut tasks = lock(&self.tasks);
        tasks.is_cut = true;
        tasks.set.abort_all();
    }
}

/// A panic in another thread leaves these plain collections whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
