//! A connection to an upstream is read to its end even when the upstream takes no more: an app may answer an upload that it
//! does not read, and close. What it said lies behind the failed write.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection whose failed writes stay pending, so that whoever drives it goes on reading.
///
/// A write fails when the other side has reset the connection or the way to it is lost. The reader is woken by the same
/// event: it gets the bytes that came before (Linux keeps them), then the end or the error. So nobody waits for a write
/// that stays pending.
#[derive(Debug)]
pub(crate) struct Hearing<S> {
    inner: S,
    is_deaf: bool,
}

impl<S> Hearing<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, is_deaf: false }
    }

    fn outlive<T>(&mut self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match outcome {
            Poll::Ready(Err(_)) => {
                self.is_deaf = true;
                Poll::Pending
            }
            outcome => outcome,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Hearing<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Hearing<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_deaf {
            return Poll::Pending;
        }
        let outcome = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.outlive(outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_deaf {
            return Poll::Pending;
        }
        let outcome = Pin::new(&mut self.inner).poll_flush(cx);
        self.outlive(outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_deaf {
            return Poll::Pending;
        }
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.outlive(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
