//! One request through the router: who answers it, what is sent, what may be tried again.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::body::{BoxBody, Download, RouteBody, Upload, UploadProgress};
use super::config::RouterConfig;
use super::headers::{self, Origin, X_REQUEST_ID};
use super::host;
use super::pool::{ConnectError, Connection};
use super::respond::Refusal;
use super::table::{Found, Table};
use super::upgrade;
use super::upstream::{Claim, Upstream};
use crate::model::InstanceId;

/// What answers requests for the platform's own host (`slipway.DOMAIN`): the API.
pub type PlatformService = Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<BoxBody>> + Send + Sync>;

/// How many different upstreams one request is offered to. More than a few that refuse at once is an outage, and each
/// may cost the connect timeout.
const UPSTREAMS_TRIED: usize = 4;

/// How many pooled connections of one upstream may turn out closed before a fresh one is opened.
const REUSES_TRIED: usize = 3;

/// What all connections of one listener share.
pub(crate) struct Router {
    pub(crate) table: Table,
    pub(crate) config: Arc<RouterConfig>,
    pub(crate) platform: PlatformService,
    /// Ends tunnels.
    pub(crate) stop: CancellationToken,
    /// Waited for when the listener stops.
    pub(crate) tasks: TaskTracker,
}

/// A request that has not been sent yet; empty from the moment it may have reached an upstream.
///
/// Lent to whoever tries to send it, because a request is some hundred bytes and each hand it goes through would copy it.
pub(crate) type Unsent = Option<Request<Upload>>;

/// A response's head, and what its body comes over.
pub(crate) struct Exchange {
    pub(crate) response: Response<Incoming>,
    pub(crate) connection: Connection,
}

/// Answers one request. Every request comes through here: the place of the access log and of metrics.
///
/// Dropping the future ends the exchange with the upstream; so a client that goes away cancels its request.
pub(crate) async fn answer(
    router: Arc<Router>,
    origin: Arc<Origin>,
    mut request: Request<Incoming>,
) -> Response<RouteBody> {
    let id = headers::request_id(request.headers_mut());
    let mut response = match route(&router, &origin, request).await {
        Ok(response) => response,
        Err(refusal) => {
            debug!(request.id = id.to_str().unwrap_or_default(), error = refusal.code(), "the router answered itself");
            refusal.into_response()
        }
    };
    response.headers_mut().insert(X_REQUEST_ID, id);
    response
}

async fn route(
    router: &Arc<Router>,
    origin: &Origin,
    mut request: Request<Incoming>,
) -> Result<Response<RouteBody>, Refusal> {
    host::normalise(&mut request).map_err(|error| {
        debug!(%error, "a request cannot be routed");
        Refusal::BadRequest
    })?;
    if let Some(text) = router.table.challenges().text(request.uri().path()) {
        return Ok(Response::new(RouteBody::text(text)));
    }
    let claim = match find(router, &request, &[])? {
        Found::App(claim) => claim,
        Found::Platform => {
            origin.stamp(request.headers_mut());
            return Ok((router.platform)(request).await.map(RouteBody::Platform));
        }
    };
    if request.version() == Version::HTTP_2 {
        headers::join_cookies(request.headers_mut());
    }
    if let Some(protocol) = upgrade::wanted(&request) {
        return Box::pin(upgrade::forward(router, origin, request, claim, protocol)).await;
    }
    forward(router, origin, request, claim).await
}

async fn forward(
    router: &Router,
    origin: &Origin,
    request: Request<Incoming>,
    claim: Claim,
) -> Result<Response<RouteBody>, Refusal> {
    let (request, upload) = prepare(&router.config, origin, request);
    let (exchange, claim) = exchange(router, &mut Some(request), claim, upload.as_deref(), Pooling::Reuse).await?;
    respond(exchange, upload, claim)
}

/// Makes the upstream's request of the client's.
pub(crate) fn prepare(
    config: &RouterConfig,
    origin: &Origin,
    request: Request<Incoming>,
) -> (Request<Upload>, Option<Arc<UploadProgress>>) {
    let mut request = request.map(|body| Upload::new(body, config.body_idle_timeout));
    let has_body = !request.body().is_end_stream();
    headers::to_upstream(request.headers_mut(), origin, has_body);
    *request.version_mut() = Version::HTTP_11;
    let upload = request.body().progress();
    (request, upload)
}

/// Makes the client's response of the upstream's.
pub(crate) fn respond(
    exchange: Exchange,
    upload: Option<Arc<UploadProgress>>,
    claim: Claim,
) -> Result<Response<RouteBody>, Refusal> {
    let Exchange { mut response, mut connection } = exchange;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked for it.
        return Err(Refusal::UpstreamBroken);
    }
    if let Some(limit) = headers::to_client(&mut response) {
        connection.keep_alive = Some(limit);
    }
    *response.version_mut() = Version::HTTP_11;
    Ok(response.map(|body| RouteBody::Download(Download::new(body, connection, upload, claim))))
}

/// Whether a connection that was used before will do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooling {
    Reuse,
    Fresh,
}

/// Offers the request to one upstream after another until one takes it. Whatever has been sent is not sent again.
pub(crate) async fn exchange(
    router: &Router,
    request: &mut Unsent,
    mut claim: Claim,
    upload: Option<&UploadProgress>,
    pooling: Pooling,
) -> Result<(Exchange, Claim), Refusal> {
    let mut tried: Vec<InstanceId> = Vec::new();
    loop {
        let refusal = match offer(claim.upstream(), &router.config, request, upload, pooling).await {
            Ok(exchange) => return Ok((exchange, claim)),
            Err(refusal) => refusal,
        };
        let Some(unsent) = request else { return Err(refusal) };
        tried.push(claim.upstream().instance());
        if tried.len() >= UPSTREAMS_TRIED {
            return Err(refusal);
        }
        claim = match find(router, unsent, &tried) {
            Ok(Found::App(claim)) => claim,
            _ => return Err(refusal),
        };
    }
}

fn find<B>(router: &Router, request: &Request<B>, tried: &[InstanceId]) -> Result<Found, Refusal> {
    let found = host::with_host(request.headers(), |host| router.table.find(host, tried));
    found.unwrap_or(Err(Refusal::BadRequest))
}

/// Sends the request to one upstream: over pooled connections while they turn out closed, then over a fresh one.
async fn offer(
    upstream: &Upstream,
    config: &Arc<RouterConfig>,
    request: &mut Unsent,
    upload: Option<&UploadProgress>,
    pooling: Pooling,
) -> Result<Exchange, Refusal> {
    let mut reuses = if pooling == Pooling::Reuse { REUSES_TRIED } else { 0 };
    loop {
        let pooled = if reuses > 0 { upstream.pool().reuse(config).await } else { None };
        let connection = match pooled {
            Some(connection) => connection,
            None => upstream.pool().connect(config).await.map_err(|error| {
                debug!(instance.id = %upstream.instance(), upstream = %upstream.address(), %error, "no connection");
                refusal_of(&error)
            })?,
        };
        let is_reused = connection.is_reused;
        match send(connection, config, request, upload).await {
            Err(_) if is_reused && request.is_some() => reuses = reuses.saturating_sub(1),
            outcome => return outcome,
        }
    }
}

fn refusal_of(error: &ConnectError) -> Refusal {
    match error {
        ConnectError::Refused(_) | ConnectError::Cut => Refusal::UpstreamRefused,
        ConnectError::TimedOut(_) => Refusal::UpstreamTimeout,
    }
}

/// Sends the request over one connection and waits for the head of the response. The request comes back when the
/// connection turns out closed before any of it was written.
///
/// The time for the response runs from the last piece of the request that the client sent: a long upload is no slow app.
async fn send(
    mut connection: Connection,
    config: &RouterConfig,
    unsent: &mut Unsent,
    upload: Option<&UploadProgress>,
) -> Result<Exchange, Refusal> {
    let limit = config.response_timeout;
    connection.timer.as_mut().reset(Instant::now() + limit);
    let request = unsent.take().expect("a request is offered until it is sent");
    let result = {
        let mut response = pin!(connection.sender.try_send_request(request));
        let timer = &mut connection.timer;
        poll_fn(|cx| {
            if let Poll::Ready(result) = response.as_mut().poll(cx) {
                return Poll::Ready(Some(result));
            }
            while timer.as_mut().poll(cx).is_ready() {
                match upload.map(|upload| upload.last() + limit) {
                    Some(deadline) if deadline > Instant::now() => timer.as_mut().reset(deadline),
                    _ => return Poll::Ready(None),
                }
            }
            Poll::Pending
        })
        .await
    };
    match result {
        Some(Ok(response)) => Ok(Exchange { response, connection }),
        None => Err(Refusal::UpstreamTimeout),
        Some(Err(mut error)) => {
            debug!(error = %error.error(), "an upstream gave no response");
            *unsent = error.take_message();
            let is_clients = upload.is_some_and(UploadProgress::is_broken);
            Err(if is_clients { Refusal::BadRequest } else { Refusal::UpstreamBroken })
        }
    }
}
