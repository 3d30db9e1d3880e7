//! One request through the router: who answers it, what is sent, what may be tried again.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::body::{Download, RouteBody};
use super::config::RouterConfig;
use super::headers::{self, Origin, X_REQUEST_ID};
use super::host;
use super::linger::Unread;
use super::observe::Observer;
use super::passage::Passage;
use super::platform::{self, PlatformService};
use super::pool::{ConnectError, Connection};
use super::refuse;
use super::respond::Refusal;
use super::sticky;
use super::table::{Found, Table};
use super::upgrade::{self, Switching};
use super::upload::{Upload, UploadState};
use super::upstream::Upstream;
use crate::model::InstanceId;
use crate::net::Place;

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
    /// Told of every request of an app.
    pub(crate) observer: Arc<dyn Observer>,
    /// Ends tunnels.
    pub(crate) stop: CancellationToken,
    /// The listener accepts no more; clients that keep their connection are told to come back by another.
    pub(crate) is_leaving: AtomicBool,
    /// Waited for when the listener stops.
    pub(crate) tasks: TaskTracker,
}

/// A client's connection. One for all its requests, so that they share no counter with other connections.
pub(crate) struct Visitor {
    pub(crate) router: Arc<Router>,
    pub(crate) origin: Origin,
    pub(crate) place: Arc<Place>,
    pub(crate) unread: Unread,
}

/// A request that is being offered; empty from the moment it may have reached an upstream.
///
/// Lent to whoever tries to send it, because a request is some hundred bytes and each hand it goes through would copy it.
pub(crate) struct Unsent {
    request: Option<Request<Upload>>,
    /// Whether it was sent once already, and got no answer because the upstream had closed the connection.
    is_second: bool,
}

/// A response's head, and what its body comes over.
pub(crate) struct Exchange {
    pub(crate) response: Response<Incoming>,
    pub(crate) connection: Connection,
}

/// Who answers.
pub(crate) enum Routed {
    /// Slipway, or the platform service.
    Own(Response<RouteBody>),
    /// An app.
    App(Exchange),
    /// An app that leaves HTTP.
    Upgraded(Box<Switching>),
}

/// Answers one request. Every request comes through here.
///
/// Dropping the future ends the exchange with the upstream; so a client that goes away cancels its request.
pub(crate) async fn answer(visitor: Arc<Visitor>, mut request: Request<Incoming>) -> Response<RouteBody> {
    let id = headers::request_id(request.headers_mut());
    let is_last = visitor.router.is_leaving.load(Ordering::Acquire) && request.version() <= Version::HTTP_11;
    if request.version() <= Version::HTTP_11 {
        visitor.unread.set(!request.body().is_end_stream());
    }
    let mut passage = Passage::begin(visitor, &request);
    let outcome = match route(&mut passage, request, &id).await {
        Ok(Routed::App(exchange)) => Ok(respond(exchange, passage)),
        Ok(Routed::Upgraded(switching)) => upgrade::open(*switching, passage),
        Ok(Routed::Own(mut response)) => {
            passage.dress(response.headers_mut());
            passage.answers_itself(response.status(), None, response.body().size_hint().lower());
            Ok(response)
        }
        Err(refusal) => Err((refusal, passage)),
    };
    let mut response = outcome.unwrap_or_else(|(refusal, mut passage)| {
        debug!(request.id = id.to_str().unwrap_or_default(), error = refusal.code(), "the router answered itself");
        refuse::response(refusal, &mut passage)
    });
    response.headers_mut().insert(X_REQUEST_ID, id);
    if is_last && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn route(passage: &mut Passage, mut request: Request<Incoming>, id: &HeaderValue) -> Result<Routed, Refusal> {
    host::normalise(&mut request).map_err(|error| {
        debug!(%error, "a request cannot be routed");
        Refusal::BadRequest
    })?;
    if let Some(text) = passage.visitor.router.table.challenges().text(request.uri().path()) {
        passage.is_platforms();
        return Ok(Routed::Own(Response::new(RouteBody::text(text))));
    }
    let (app, claim) = match find(&passage.visitor.router, &request, &[])? {
        Found::App(app, claim) => (app, claim),
        Found::Platform => {
            passage.is_platforms();
            return Ok(Routed::Own(platform::answer(&passage.visitor, request).await));
        }
    };
    let has_room = passage.enter(app, &request, id);
    if let Some(response) = refuse::before_the_app(passage, &request, has_room)? {
        return Ok(Routed::Own(response));
    }
    passage.claim(claim.ok_or(Refusal::NoUpstream)?);
    if request.version() == Version::HTTP_2 {
        headers::join_cookies(request.headers_mut());
    }
    if let Some(protocol) = upgrade::wanted(&request) {
        return Box::pin(upgrade::forward(passage, request, protocol)).await;
    }
    let request = prepare(passage, request);
    let exchange = exchange(passage, request, Pooling::Reuse).await?;
    match exchange.response.status() {
        // Nobody asked for it.
        StatusCode::SWITCHING_PROTOCOLS => Err(Refusal::UpstreamBroken),
        _ => Ok(Routed::App(exchange)),
    }
}

/// Makes the upstream's request of the client's.
pub(crate) fn prepare(passage: &mut Passage, request: Request<Incoming>) -> Unsent {
    let settings = passage.settings();
    let mut request = request.map(|body| Upload::new(body, settings));
    if settings.is_sticky {
        sticky::strip(request.headers_mut());
    }
    let has_body = !request.body().is_end_stream();
    headers::to_upstream(request.headers_mut(), &passage.visitor.origin, has_body);
    *request.version_mut() = Version::HTTP_11;
    passage.uploads(request.body().progress());
    Unsent { request: Some(request), is_second: false }
}

impl Unsent {
    pub(crate) fn headers_mut(&mut self) -> &mut http::HeaderMap {
        self.request.as_mut().expect("it has not been sent yet").headers_mut()
    }
}

/// Makes the client's response of the upstream's.
pub(crate) fn respond(exchange: Exchange, mut passage: Box<Passage>) -> Response<RouteBody> {
    let Exchange { mut response, mut connection } = exchange;
    if let Some(limit) = headers::to_client(&mut response) {
        connection.keep_alive = Some(limit);
    }
    *response.version_mut() = Version::HTTP_11;
    passage.answers(response.status());
    passage.dress(response.headers_mut());
    response.map(|body| RouteBody::Download(Download::new(body, connection, passage)))
}

/// Whether a connection that was used before will do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooling {
    Reuse,
    Fresh,
}

/// Offers the request to one upstream after another until one takes it. What may have been sent is sent once more at most,
/// and only where that is harmless.
pub(crate) async fn exchange(
    passage: &mut Passage,
    mut request: Unsent,
    pooling: Pooling,
) -> Result<Exchange, Refusal> {
    let mut tried: Vec<InstanceId> = Vec::new();
    loop {
        let upstream = Arc::clone(passage.upstream().expect("claimed before it is offered"));
        let refusal = match offer(passage, &upstream, &mut request, pooling).await {
            Ok(exchange) => return Ok(exchange),
            Err(refusal) => refusal,
        };
        let Some(unsent) = &request.request else { return Err(refusal) };
        tried.push(upstream.instance());
        if tried.len() >= UPSTREAMS_TRIED {
            return Err(refusal);
        }
        match find(&passage.visitor.router, unsent, &tried) {
            Ok(Found::App(_, Some(claim))) => passage.claim(claim),
            _ => return Err(refusal),
        }
    }
}

fn find<B>(router: &Router, request: &Request<B>, tried: &[InstanceId]) -> Result<Found, Refusal> {
    let headers = request.headers();
    let found = host::with_host(headers, |host| router.table.find(host, headers, tried));
    found.unwrap_or(Err(Refusal::BadRequest))
}

/// Sends the request to one upstream: over pooled connections while they turn out closed, then over a fresh one.
async fn offer(
    passage: &mut Passage,
    upstream: &Upstream,
    request: &mut Unsent,
    pooling: Pooling,
) -> Result<Exchange, Refusal> {
    let mut reuses = if pooling == Pooling::Reuse { REUSES_TRIED } else { 0 };
    loop {
        let config = &passage.visitor.router.config;
        let pooled = if reuses > 0 { upstream.pool().reuse(config).await } else { None };
        let connection = match pooled {
            Some(connection) => connection,
            None => connect(passage, upstream).await?,
        };
        let is_reused = connection.is_reused;
        match send(passage, connection, request).await {
            // The second time it takes a connection that nobody can have closed for its age.
            Err(_) if is_reused && request.request.is_some() => {
                reuses = if request.is_second { 0 } else { reuses.saturating_sub(1) };
            }
            outcome => return outcome,
        }
    }
}

async fn connect(passage: &mut Passage, upstream: &Upstream) -> Result<Connection, Refusal> {
    let start = Instant::now();
    let connected = upstream.pool().connect(&passage.visitor.router.config).await;
    passage.connected(start.elapsed());
    connected.map_err(|error| {
        debug!(instance.id = %upstream.instance(), upstream = %upstream.address(), %error, "no connection");
        match error {
            ConnectError::Refused(_) | ConnectError::Cut => Refusal::UpstreamRefused,
            ConnectError::TimedOut(_) => Refusal::UpstreamTimeout,
        }
    })
}

/// Sends the request over one connection and waits for the head of the response. The request comes back when the
/// connection turns out closed before any of it was written, and, once, when a kept connection was closed before any of the
/// answer came and the request may be sent twice.
///
/// The time for the response runs from the last piece of the request that the client sent: a long upload is no slow app.
async fn send(passage: &Passage, mut connection: Connection, unsent: &mut Unsent) -> Result<Exchange, Refusal> {
    let (limit, upload) = (passage.settings().response_timeout, passage.upload().map(Arc::as_ref));
    connection.timer.as_mut().reset(Instant::now() + limit);
    let request = unsent.request.take().expect("a request is offered until it is sent");
    if connection.is_reused && !unsent.is_second {
        connection.copy.take(&request);
    }
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
        Some(Ok(response)) => {
            connection.copy.clear();
            Ok(Exchange { response, connection })
        }
        None => Err(Refusal::UpstreamTimeout),
        Some(Err(mut error)) => {
            debug!(error = %error.error(), "an upstream gave no response");
            unsent.request = error.take_message();
            if unsent.request.is_none() && is_close(error.error()) {
                unsent.request = connection.copy.restore();
                unsent.is_second = unsent.request.is_some();
            }
            Err(match upload.map(|upload| upload.state()) {
                Some(UploadState::Broken) => Refusal::BadRequest,
                Some(UploadState::TooSlow) => Refusal::RequestTimeout,
                Some(UploadState::TooLarge) => Refusal::BodyTooLarge,
                Some(UploadState::Running | UploadState::Done) | None => Refusal::UpstreamBroken,
            })
        }
    }
}

/// Whether the other side closed the connection, and did not answer something odd.
fn is_close(error: &hyper::Error) -> bool {
    use std::error::Error;
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
            return matches!(io.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof);
        }
        source = inner.source();
    }
    error.is_incomplete_message() || error.is_closed() || error.is_canceled()
}
