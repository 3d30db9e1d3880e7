//! Connections that leave HTTP: websockets and whatever else asks for `Upgrade` on HTTP/1.1.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, on};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tracing::debug;

use super::body::RouteBody;
use super::headers;
use super::passage::{Passage, Tunnelled};
use super::proxy::{self, Exchange, Pooling, Routed};
use super::respond::Refusal;

/// The protocol that a request asks to change to.
///
/// `h2c` is not offered on: tunnelled, its requests would pass the router unseen, under any `Host`.
pub(crate) fn wanted<B>(request: &Request<B>) -> Option<HeaderValue> {
    let protocol = request.headers().get(UPGRADE)?;
    let mut connection = request.headers().get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let is_asked = connection.any(|text| text.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade")));
    let is_h2c = protocol.to_str().is_ok_and(|text| {
        text.split(',').any(|name| name.trim().get(..3).is_some_and(|start| start.eq_ignore_ascii_case("h2c")))
    });
    (request.version() == Version::HTTP_11 && is_asked && !is_h2c).then(|| protocol.clone())
}

/// An upstream's consent to change protocol, and both sides of the tunnel to be.
pub(crate) struct Switching {
    exchange: Exchange,
    client: OnUpgrade,
    upstream: OnUpgrade,
}

/// Forwards a request to change protocol over a connection of its own. A 101 is left to [`open`]; any other response passes
/// as usual.
pub(crate) async fn forward(
    passage: &mut Passage,
    mut request: Request<Incoming>,
    protocol: HeaderValue,
) -> Result<Routed, Refusal> {
    let client = on(&mut request);
    let mut request = proxy::prepare(passage, request);
    change_protocol(request.headers_mut(), Some(protocol));
    let mut exchange = proxy::exchange(passage, request, Pooling::Fresh).await?;
    if exchange.response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Routed::App(exchange));
    }
    let upstream = on(&mut exchange.response);
    Ok(Routed::Upgraded(Box::new(Switching { exchange, client, upstream })))
}

/// Makes the tunnel, which ends with either side, with [`Upstream::cut`](super::Upstream::cut) or when the router stops. The
/// passage goes with it.
///
/// # Errors
/// The passage comes back when the upstream has been cut off meanwhile.
pub(crate) fn open(
    switching: Switching,
    mut passage: Box<Passage>,
) -> Result<Response<RouteBody>, (Refusal, Box<Passage>)> {
    let Switching { exchange, client, upstream } = switching;
    let Some(owner) = passage.upstream().map(Arc::clone).filter(|upstream| !upstream.pool().is_cut()) else {
        return Err((Refusal::UpstreamBroken, passage));
    };
    let mut response = switching_response(exchange);
    passage.answers(response.status());
    passage.dress(response.headers_mut());
    let (stop, counted) = (passage.visitor.router.stop.clone(), passage.visitor.router.tasks.token());
    let bytes = passage.upgrades();
    // A cut that comes between the look and this ends the task before it begins, and the client's connection with it.
    owner.pool().spawn(async move {
        let _held = (passage, counted);
        tokio::select! {
            () = stop.cancelled() => {}
            ended = tunnel(client, upstream, &bytes) => {
                if let Err(error) = ended {
                    debug!(%error, "an upgraded connection broke off");
                }
            }
        }
    });
    Ok(response)
}

/// The answer to the client; sending it is what hands its connection over.
fn switching_response(exchange: Exchange) -> Response<RouteBody> {
    let mut response = exchange.response.map(|_| RouteBody::text(bytes::Bytes::new()));
    let protocol = response.headers().get(UPGRADE).cloned();
    headers::to_client(&mut response);
    change_protocol(response.headers_mut(), protocol);
    response
}

fn change_protocol(headers: &mut http::HeaderMap, protocol: Option<HeaderValue>) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        headers.insert(UPGRADE, protocol);
    }
}

/// Copies both ways until the upstream has said all it had to say, or a side breaks.
///
/// A client that only stops sending may still wait for an answer, so its end is passed on and no more. After the
/// upstream's end nothing can come, and waiting for the client would keep a dead tunnel.
async fn tunnel(client: OnUpgrade, upstream: OnUpgrade, bytes: &Tunnelled) -> io::Result<()> {
    let (client, upstream) = tokio::try_join!(client, upstream).map_err(io::Error::other)?;
    let (from_client, mut to_client) = tokio::io::split(TokioIo::new(client));
    let (from_upstream, mut to_upstream) = tokio::io::split(TokioIo::new(upstream));
    let mut from_client = Counted { inner: from_client, bytes: &bytes.inwards };
    let mut from_upstream = Counted { inner: from_upstream, bytes: &bytes.outwards };
    let requests = async {
        tokio::io::copy(&mut from_client, &mut to_upstream).await?;
        to_upstream.shutdown().await?;
        std::future::pending().await
    };
    let answers = async {
        tokio::io::copy(&mut from_upstream, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::select! { ended = requests => ended, ended = answers => ended }
}

/// Counts what is read.
struct Counted<'a, R> {
    inner: R,
    bytes: &'a AtomicU64,
}

impl<R: AsyncRead + Unpin> AsyncRead for Counted<'_, R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.bytes.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        outcome
    }
}
