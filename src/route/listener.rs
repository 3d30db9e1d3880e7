//! Accepts connections, serves HTTP/1.1 and HTTP/2 on them, and stops without losing a request.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::Poll;
use std::time::Duration;

use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::challenges::TLS_PROTOCOL;
use super::config::RouterConfig;
use super::headers::Origin;
use super::linger::{Lingering, Unread};
use super::observe::Observer;
use super::platform::PlatformService;
use super::proxy::{self, Router, Visitor};
use super::stall::Patient;
use super::table::Table;
use crate::net::{self, Bounds, Place, Places};

/// How long connections get to notice that their time is over.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// How long idle connections stay open once the listener stops. Clients at work ask again within that time.
const LINGER: Duration = Duration::from_secs(1);

/// Concurrent requests on one HTTP/2 connection.
const MAX_STREAMS: u32 = 200;

/// Serves one listener until `stop`, then drains it.
///
/// Draining: no more connections are accepted; each that is open is told with its next answer that it is the last, and idle
/// ones are closed a second later, so that whoever was about to ask is still answered. Requests in flight finish within
/// [`RouterConfig::drain`], upgraded connections are closed at once. Returns when all that is over; what remains after
/// the time is closed. Dropping the future instead leaves its connections running until the runtime ends.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    table: Table,
    config: Arc<RouterConfig>,
    platform: PlatformService,
    observer: Arc<dyn Observer>,
    stop: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let is_leaving = AtomicBool::new(false);
    let router =
        Arc::new(Router { table, config, platform, observer, stop: stop.clone(), is_leaving, tasks: tasks.clone() });
    let builder = Arc::new(server_builder(&router.config, &tasks));
    let stage = Arc::new(Stage::default());
    let acceptor = Acceptor { router: Arc::clone(&router), tls: tls.map(TlsAcceptor::from), builder, stage };
    tokio::select! {
        () = stop.cancelled() => {}
        never = acceptor.accept(&listener) => match never {},
    }
    drop(listener);
    router.is_leaving.store(true, Ordering::Release);
    tasks.close();
    // A connection that is closed while a request comes in on it costs that request: the kernel answers it with a reset.
    if timeout(LINGER, tasks.wait()).await.is_err() {
        acceptor.stage.advance(DRAINING);
    }
    if timeout(router.config.drain, tasks.wait()).await.is_err() {
        let drain_ms = router.config.drain.as_millis();
        warn!(connections = tasks.len(), drain_ms, "the time to drain is over; closing what is left");
        acceptor.stage.advance(CLOSING);
        // Bounded because a task of the platform service is not ours to end.
        drop(timeout(CLOSE_GRACE, tasks.wait()).await);
    }
}

fn server_builder(config: &RouterConfig, tasks: &TaskTracker) -> auto::Builder<TrackedExecutor> {
    let mut builder = auto::Builder::new(TrackedExecutor(tasks.clone()));
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_read_timeout)
        // One contiguous write costs the kernel less than a gathered one, which pays for copying a body.
        .writev(false)
        .max_headers(config.max_header_lines)
        .max_buf_size(config.max_header_bytes.max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(config.max_header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(config.header_read_timeout)
        .keep_alive_timeout(config.header_read_timeout);
    builder
}

/// Runs what hyper needs run for HTTP/2 streams among our own tasks.
#[derive(Clone)]
struct TrackedExecutor(TaskTracker);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for TrackedExecutor {
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

const SERVING: u8 = 0;
const DRAINING: u8 = 1;
const CLOSING: u8 = 2;

/// How far the listener's end has come; only moves forward.
///
/// A look is one load: connections look each time they are polled.
#[derive(Debug, Default)]
struct Stage {
    now: AtomicU8,
    changed: Notify,
}

impl Stage {
    fn advance(&self, to: u8) {
        self.now.fetch_max(to, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    fn now(&self) -> u8 {
        self.now.load(Ordering::Acquire)
    }

    /// Drives a connection to its end; told to finish when draining begins, dropped when it is over.
    async fn drive<C: GracefulConnection>(&self, connection: C) -> Option<C::Output> {
        let mut connection = pin!(connection);
        let mut changed = pin!(self.changed.notified());
        // No stage has this number, so the first poll starts to listen.
        let mut seen = u8::MAX;
        poll_fn(|cx| {
            while self.now() != seen {
                // Listening starts before the look, so that no change falls between the two.
                while changed.as_mut().poll(cx).is_ready() {
                    changed.set(self.changed.notified());
                }
                seen = self.now();
                match seen {
                    SERVING => {}
                    DRAINING => connection.as_mut().graceful_shutdown(),
                    _ => return Poll::Ready(None),
                }
            }
            connection.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

/// What it takes to turn a TCP connection into requests.
struct Acceptor {
    router: Arc<Router>,
    tls: Option<TlsAcceptor>,
    builder: Arc<auto::Builder<TrackedExecutor>>,
    stage: Arc<Stage>,
}

impl Acceptor {
    async fn accept(&self, listener: &TcpListener) -> Infallible {
        let places = Places::new(Bounds::of(self.router.config.max_connections));
        let name = if self.tls.is_some() { "https" } else { "http" };
        loop {
            let (stream, peer, place) = net::accept(listener, name, &places).await;
            // Without TLS there is no handshake.
            if self.tls.is_none() {
                place.establish();
            }
            let place = Arc::new(place);
            let serve = self.connection(stream, peer, Arc::clone(&place));
            self.router.tasks.spawn(async move {
                tokio::select! {
                    () = serve => {}
                    () = place.evicted() => debug!(client = %peer, "others needed a connection's place"),
                }
            });
        }
    }

    /// One client's connection, to its end.
    fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        place: Arc<Place>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (router, builder, stage) = (Arc::clone(&self.router), Arc::clone(&self.builder), Arc::clone(&self.stage));
        let tls = self.tls.clone();
        async move {
            let Ok(origin) = origin(&stream, peer, tls.is_some()) else { return };
            let unread = Unread::default();
            let stream = Lingering::new(Patient::new(stream, router.config.stall_timeout), unread.clone());
            let visitor = Visitor { router, origin, place, unread };
            let served = match tls {
                None => serve_requests(stream, visitor, &builder, &stage).await,
                Some(tls) => match shake_hands(&tls, stream, &visitor.router).await {
                    Ok(stream) => {
                        visitor.place.establish();
                        serve_requests(stream, visitor, &builder, &stage).await
                    }
                    Err(error) => Err(error.into()),
                },
            };
            if let Err(error) = served {
                debug!(client = %peer, %error, "a client's connection broke off");
            }
        }
    }
}

/// Nothing has been asked yet before the handshake is over, so a stop ends it.
async fn shake_hands(
    tls: &TlsAcceptor,
    stream: Lingering<Patient<TcpStream>>,
    router: &Router,
) -> io::Result<TlsStream<Lingering<Patient<TcpStream>>>> {
    let stream = tokio::select! {
        shaken = timeout(router.config.header_read_timeout, tls.accept(stream)) => shaken??,
        () = router.stop.cancelled() => return Err(io::Error::other("the router stops")),
    };
    match stream.get_ref().1.alpn_protocol() {
        Some(TLS_PROTOCOL) => Err(io::Error::other("the handshake was a challenge, and that is all it was for")),
        _ => Ok(stream),
    }
}

fn origin(stream: &TcpStream, peer: SocketAddr, is_tls: bool) -> io::Result<Origin> {
    stream.set_nodelay(true)?;
    Ok(Origin::new(peer, stream.local_addr()?.port(), is_tls))
}

async fn serve_requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    visitor: Visitor,
    builder: &auto::Builder<TrackedExecutor>,
    stage: &Stage,
) -> Result<(), super::BoxError> {
    let visitor = Arc::new(visitor);
    let service = service_fn(move |request| {
        let answer = proxy::answer(Arc::clone(&visitor), request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    stage.drive(connection).await.unwrap_or(Ok(()))
}
