//! Bodies on their way to a client. Nothing is collected; trailers pass.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::passage::Passage;
use super::pool::Connection;
use super::respond::error;
use super::upload::UploadState;
use crate::net::Busy;

/// What a body of the platform service may fail with.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A body of the platform service.
pub type BoxBody = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

pub(super) type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

/// The body of an upstream's response on its way to the client. Holds the request's passage, and so its claim, until the
/// client has it all, and gives the connection back to the pool when the upstream's part is over.
#[derive(Debug)]
pub(crate) struct Download {
    incoming: Incoming,
    is_idle: bool,
    /// Taken at the end of the body; dropped with it, and thereby closed, if that end is never reached.
    connection: Option<Connection>,
    passage: Box<Passage>,
}

impl Download {
    /// Wraps a response's body that comes over `connection`.
    pub(crate) fn new(incoming: Incoming, connection: Connection, passage: Box<Passage>) -> Self {
        let mut download = Self { incoming, is_idle: false, connection: Some(connection), passage };
        if download.incoming.is_end_stream() {
            download.finish();
        }
        download
    }

    /// An upstream that answered before it had read the whole request keeps its connection busy: that one is dropped.
    fn finish(&mut self) {
        self.passage.complete();
        if let Some(connection) = self.connection.take()
            && self.passage.upload().is_none_or(|upload| upload.state() == UploadState::Done)
            && let Some(upstream) = self.passage.upstream()
        {
            upstream.pool().give_back(connection);
        }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(connection) = &mut self.connection else { return Poll::Pending };
        if !self.is_idle {
            self.is_idle = true;
            connection.timer.as_mut().reset(Instant::now() + self.passage.settings().idle_timeout);
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
                self.passage.passed(frame.data_ref().map_or(0, Bytes::len));
                if self.incoming.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(failure))) => {
                self.connection = None;
                self.passage.broke(error::RESPONSE_BROKEN);
                Poll::Ready(Some(Err(failure.into())))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_idle(cx).map(|()| {
                self.connection = None;
                self.passage.broke(error::RESPONSE_STALLED);
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
    Platform(BoxBody, #[expect(dead_code, reason = "held until the body has gone")] Busy),
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
            Self::Platform(body, _) => Pin::new(body).poll_frame(cx),
            Self::Download(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(body) => body.is_end_stream(),
            Self::Platform(body, _) => body.is_end_stream(),
            Self::Download(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(body) => body.size_hint(),
            Self::Platform(body, _) => body.size_hint(),
            Self::Download(body) => body.size_hint(),
        }
    }
}

pub(super) fn too_quiet(who: &str) -> BoxError {
    io::Error::new(io::ErrorKind::TimedOut, format!("{who} sent nothing for too long")).into()
}
