//! Bodies on their way through: uploads to an upstream, downloads to a client. Nothing is collected; trailers pass.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use super::pool::Connection;
use super::upstream::Claim;

/// What a body of the platform service may fail with.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A body of the platform service.
pub type BoxBody = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

/// How far an upload has come, for whoever waits for the answer to it.
#[derive(Debug)]
pub(crate) struct UploadProgress {
    start: Instant,
    /// Milliseconds after `start` at which the last piece went on.
    last_ms: AtomicU64,
    state: AtomicU8,
}

const UPLOADING: u8 = 0;
const UPLOADED: u8 = 1;
const UPLOAD_BROKEN: u8 = 2;

impl UploadProgress {
    fn new() -> Self {
        Self { start: Instant::now(), last_ms: AtomicU64::new(0), state: AtomicU8::new(UPLOADING) }
    }

    fn record(&self, state: u8) {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(elapsed, Ordering::Relaxed);
        self.state.store(state, Ordering::Release);
    }

    /// When the client last sent something, or the whole had arrived.
    pub(crate) fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }

    /// Whether the whole body has gone to the upstream.
    pub(crate) fn is_done(&self) -> bool {
        self.state.load(Ordering::Acquire) == UPLOADED
    }

    /// Whether the client broke off or fell silent.
    pub(crate) fn is_broken(&self) -> bool {
        self.state.load(Ordering::Acquire) == UPLOAD_BROKEN
    }
}

/// The body of a request on its way to an upstream.
#[derive(Debug)]
pub(crate) struct Upload {
    incoming: Incoming,
    /// None for a request without a body, which costs nothing then.
    progress: Option<Arc<UploadProgress>>,
    idle_timeout: Duration,
    idle: Option<Pin<Box<Sleep>>>,
    is_idle: bool,
}

impl Upload {
    /// Wraps a request's body; it may pause for at most `idle_timeout`.
    pub(crate) fn new(incoming: Incoming, idle_timeout: Duration) -> Self {
        let progress = (!incoming.is_end_stream()).then(|| Arc::new(UploadProgress::new()));
        Self { incoming, progress, idle_timeout, idle: None, is_idle: false }
    }

    /// Present when there is a body at all.
    pub(crate) fn progress(&self) -> Option<Arc<UploadProgress>> {
        self.progress.clone()
    }

    fn record(&self, state: u8) {
        if let Some(progress) = &self.progress {
            progress.record(state);
        }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.idle_timeout;
        let idle = self.idle.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !self.is_idle {
            self.is_idle = true;
            idle.as_mut().reset(Instant::now() + limit);
        }
        idle.as_mut().poll(cx)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.is_idle = false;
                self.record(if self.incoming.is_end_stream() { UPLOADED } else { UPLOADING });
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.record(UPLOAD_BROKEN);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                self.record(UPLOADED);
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_idle(cx).map(|()| {
                self.record(UPLOAD_BROKEN);
                Some(Err(too_quiet("the client")))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// The body of an upstream's response on its way to the client. Holds the claim until the client has it all, and gives
/// the connection back to the pool when the upstream's part is over.
#[derive(Debug)]
pub(crate) struct Download {
    incoming: Incoming,
    is_idle: bool,
    /// Taken at the end of the body; dropped with it, and thereby closed, if that end is never reached.
    connection: Option<Connection>,
    upload: Option<Arc<UploadProgress>>,
    claim: Claim,
}

impl Download {
    /// Wraps a response's body that comes over `connection`.
    pub(crate) fn new(
        incoming: Incoming,
        connection: Connection,
        upload: Option<Arc<UploadProgress>>,
        claim: Claim,
    ) -> Self {
        let mut download = Self { incoming, is_idle: false, connection: Some(connection), upload, claim };
        if download.incoming.is_end_stream() {
            download.finish();
        }
        download
    }

    /// An upstream that answered before it had read the whole request keeps its connection busy: that one is dropped.
    fn finish(&mut self) {
        if let Some(connection) = self.connection.take()
            && self.upload.as_ref().is_none_or(|upload| upload.is_done())
        {
            self.claim.upstream().pool().give_back(connection);
        }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(connection) = &mut self.connection else { return Poll::Pending };
        if !self.is_idle {
            self.is_idle = true;
            let limit = connection.config.body_idle_timeout;
            connection.timer.as_mut().reset(Instant::now() + limit);
        }
        connection.timer.as_mut().poll(cx)
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.is_idle = false;
                if self.incoming.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.connection = None;
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_idle(cx).map(|()| {
                self.connection = None;
                Some(Err(too_quiet("the app")))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// Any body that the router sends to a client.
#[derive(Debug)]
pub(crate) enum RouteBody {
    /// One of Slipway's own answers.
    Text(Full<Bytes>),
    /// From the platform service.
    Platform(BoxBody),
    /// From an app.
    Download(Download),
}

impl RouteBody {
    /// A short text.
    pub(crate) fn text(text: Bytes) -> Self {
        Self::Text(Full::new(text))
    }
}

impl Body for RouteBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        match self.get_mut() {
            Self::Text(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Platform(body) => Pin::new(body).poll_frame(cx),
            Self::Download(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(body) => body.is_end_stream(),
            Self::Platform(body) => body.is_end_stream(),
            Self::Download(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(body) => body.size_hint(),
            Self::Platform(body) => body.size_hint(),
            Self::Download(body) => body.size_hint(),
        }
    }
}

fn too_quiet(who: &str) -> BoxError {
    io::Error::new(io::ErrorKind::TimedOut, format!("{who} sent nothing for too long")).into()
}
