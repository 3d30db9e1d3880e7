//! The body of a request on its way to an upstream: bounded in size, in silence and in slowness.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use super::app::Settings;
use super::body::{BoxError, Polled, too_quiet};

/// How long a client may be waited for in all, whatever it sends.
const WAIT: Duration = Duration::from_secs(30);

/// What a client has to have sent for each further second that it was waited for. A body that trickles in byte by byte
/// keeps an instance busy as well as one that never ends; every real line is faster than that.
const BYTES_PER_SECOND: u64 = 256;

/// How far an upload has come, for whoever waits for the answer to it.
#[derive(Debug)]
pub(crate) struct UploadProgress {
    start: Instant,
    /// Milliseconds after `start` at which the last piece went on.
    last_ms: AtomicU64,
    bytes: AtomicU64,
    state: AtomicU8,
    /// Set once the app has begun to answer: what follows is a conversation, and may be as slow as it likes.
    is_answered: AtomicU8,
}

/// What has become of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum UploadState {
    /// It goes on.
    Running = 0,
    /// The whole body has gone to the upstream.
    Done = 1,
    /// The client broke off, or sent what is no body.
    Broken = 2,
    /// The client fell silent, or was too slow.
    TooSlow = 3,
    /// It has more bytes than the app takes.
    TooLarge = 4,
}

impl UploadProgress {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            last_ms: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            state: AtomicU8::new(UploadState::Running as u8),
            is_answered: AtomicU8::new(0),
        }
    }

    fn record(&self, state: UploadState) {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(elapsed, Ordering::Relaxed);
        self.state.store(state as u8, Ordering::Release);
    }

    /// When the client last sent something, or the whole had arrived.
    pub(crate) fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }

    /// Bytes that came so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn state(&self) -> UploadState {
        use UploadState as S;
        let state = self.state.load(Ordering::Acquire);
        [S::Running, S::Done, S::Broken, S::TooSlow, S::TooLarge][usize::from(state)]
    }

    /// The app has begun to answer.
    pub(crate) fn answered(&self) {
        self.is_answered.store(1, Ordering::Relaxed);
    }
}

/// The body of a request on its way to an upstream. One without a body is a null pointer.
#[derive(Debug)]
pub(crate) struct Upload(Option<Box<Active>>);

#[derive(Debug)]
struct Active {
    incoming: Incoming,
    progress: Arc<UploadProgress>,
    left: u64,
    idle_timeout: Duration,
    /// How long the client was waited for, and since when it is.
    waited: Duration,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Upload {
    /// A request's body under the bounds of the app's settings.
    pub(crate) fn new(incoming: Incoming, settings: &Settings) -> Self {
        if incoming.is_end_stream() {
            return Self::empty();
        }
        Self(Some(Box::new(Active {
            incoming,
            progress: Arc::new(UploadProgress::new()),
            left: settings.max_body_bytes,
            idle_timeout: settings.idle_timeout,
            waited: Duration::ZERO,
            waiting_since: None,
            timer: None,
        })))
    }

    /// No body.
    pub(crate) fn empty() -> Self {
        Self(None)
    }

    /// Present when there is a body at all.
    pub(crate) fn progress(&self) -> Option<Arc<UploadProgress>> {
        self.0.as_ref().map(|active| Arc::clone(&active.progress))
    }
}

impl Active {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Polled {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(self.arrived(frame))),
            Poll::Ready(Some(Err(error))) => {
                self.progress.record(UploadState::Broken);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                self.progress.record(UploadState::Done);
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_patience(cx).map(|()| {
                self.progress.record(UploadState::TooSlow);
                Some(Err(too_quiet("the client")))
            }),
        }
    }

    fn arrived(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BoxError> {
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
        let size = frame.data_ref().map_or(0, Bytes::len) as u64;
        self.progress.bytes.fetch_add(size, Ordering::Relaxed);
        let Some(left) = self.left.checked_sub(size) else {
            self.progress.record(UploadState::TooLarge);
            return Err("the body is larger than the app's settings allow".into());
        };
        self.left = left;
        let is_end = self.incoming.is_end_stream();
        self.progress.record(if is_end { UploadState::Done } else { UploadState::Running });
        Ok(frame)
    }

    /// Ready once the client has been silent for too long, or too slow on the whole. Only time in which the client was
    /// waited for counts: an app that reads slowly is not the client's fault.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.waiting_since.is_none() {
            let now = Instant::now();
            self.waiting_since = Some(now);
            let deadline = now + self.idle_timeout.min(self.credit());
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(Duration::ZERO)));
            timer.as_mut().reset(deadline);
        }
        let timer = self.timer.as_mut().expect("made when the waiting began");
        loop {
            std::task::ready!(timer.as_mut().poll(cx));
            // The app may have begun to answer since the deadline was set; silence alone counts then.
            let silent_until = self.waiting_since.map(|since| since + self.idle_timeout);
            match silent_until.filter(|until| *until > Instant::now()) {
                Some(until) if self.progress.is_answered.load(Ordering::Relaxed) == 1 => timer.as_mut().reset(until),
                _ => return Poll::Ready(()),
            }
        }
    }

    /// How much longer the client may be waited for, for what it has sent so far.
    fn credit(&self) -> Duration {
        if self.progress.is_answered.load(Ordering::Relaxed) == 1 {
            return Duration::MAX;
        }
        let earned = Duration::from_secs(self.progress.bytes() / BYTES_PER_SECOND);
        WAIT.saturating_add(earned).saturating_sub(self.waited)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        match &mut self.0 {
            None => Poll::Ready(None),
            Some(active) => active.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|active| active.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |active| active.incoming.size_hint())
    }
}
