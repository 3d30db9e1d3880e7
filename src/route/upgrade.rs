//! Connections that leave HTTP: websockets and whatever else asks for `Upgrade` on HTTP/1.1.

use std::io;
use std::sync::Arc;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, on};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tracing::debug;

use super::body::RouteBody;
use super::headers::{self, Origin};
use super::proxy::{self, Exchange, Pooling, Router};
use super::respond::Refusal;
use super::upstream::Claim;

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

/// Forwards a request to change protocol over a connection of its own. A 101 becomes a tunnel that ends with either
/// side, with [`Upstream::cut`](super::Upstream::cut) or when the router stops; any other response passes as usual.
pub(crate) async fn forward(
    router: &Arc<Router>,
    origin: &Origin,
    mut request: Request<Incoming>,
    claim: Claim,
    protocol: HeaderValue,
) -> Result<Response<RouteBody>, Refusal> {
    let client = on(&mut request);
    let (mut request, upload) = proxy::prepare(&router.config, origin, request);
    change_protocol(request.headers_mut(), Some(protocol));
    let (mut exchange, claim) =
        proxy::exchange(router, &mut Some(request), claim, upload.as_deref(), Pooling::Fresh).await?;
    if exchange.response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return proxy::respond(exchange, upload, claim);
    }
    let upstream = on(&mut exchange.response);
    open_tunnel(router, claim, client, upstream)?;
    Ok(switching(exchange))
}

/// The answer to the client; sending it is what hands its connection over.
fn switching(exchange: Exchange) -> Response<RouteBody> {
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

fn open_tunnel(router: &Arc<Router>, claim: Claim, client: OnUpgrade, upstream: OnUpgrade) -> Result<(), Refusal> {
    let (stop, counted_here) = (router.stop.clone(), router.tasks.token());
    let owner = Arc::clone(claim.upstream());
    let counted_there = claim.into_upgraded();
    let is_open = owner.pool().spawn(async move {
        let _counted = (counted_here, counted_there);
        tokio::select! {
            () = stop.cancelled() => {}
            ended = tunnel(client, upstream) => {
                if let Err(error) = ended {
                    debug!(%error, "an upgraded connection broke off");
                }
            }
        }
    });
    if is_open { Ok(()) } else { Err(Refusal::UpstreamBroken) }
}

/// Copies both ways until the upstream has said all it had to say, or a side breaks.
///
/// A client that only stops sending may still wait for an answer, so its end is passed on and no more. After the
/// upstream's end nothing can come, and waiting for the client would keep a dead tunnel.
async fn tunnel(client: OnUpgrade, upstream: OnUpgrade) -> io::Result<()> {
    let (client, upstream) = tokio::try_join!(client, upstream).map_err(io::Error::other)?;
    let (mut from_client, mut to_client) = tokio::io::split(TokioIo::new(client));
    let (mut from_upstream, mut to_upstream) = tokio::io::split(TokioIo::new(upstream));
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
