//! Requests for the platform's own host (`slipway.DOMAIN`).

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::STRICT_TRANSPORT_SECURITY;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::body::{BoxBody, RouteBody};
use super::certificates::Certificates;
use super::host;
use super::proxy::Visitor;
use super::refuse;
use crate::model::Timestamp;
use crate::net::Blocks;

/// What browsers remember of the platform's host: HTTPS only, for half a year. Nothing of the hosts below it, which are none
/// or somebody else's.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=15552000");

/// What answers: the API.
pub type Answer = Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<BoxBody>> + Send + Sync>;

/// What is behind the platform's own host, and for whom.
#[derive(Clone)]
pub struct PlatformService {
    /// Answers.
    pub answer: Answer,
    /// Who is not answered: builds.
    pub closed_to: Blocks,
    /// Once these have one for the host that an authority has issued, plain HTTP only leads to HTTPS.
    pub certificates: Certificates,
}

impl fmt::Debug for PlatformService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlatformService").field("closed_to", &self.closed_to).finish_non_exhaustive()
    }
}

/// Answers one request.
pub(crate) async fn answer(visitor: &Visitor, mut request: Request<Incoming>) -> Response<RouteBody> {
    let (service, origin) = (&visitor.router.platform, &visitor.origin);
    if service.closed_to.contains(origin.client()) {
        let mut response =
            Response::new(RouteBody::text(Bytes::from_static(b"Builds do not reach this server's API.\n")));
        *response.status_mut() = StatusCode::FORBIDDEN;
        return response;
    }
    let is_issued = |host: &str| service.certificates.has_issued(host, Timestamp::now());
    let is_secure = host::with_host(request.headers(), is_issued).unwrap_or(false);
    if is_secure && !origin.is_tls() {
        return refuse::to_https(&request, origin, visitor.router.config.https_port);
    }
    origin.stamp(request.headers_mut());
    // An answer may go on for as long as a build does.
    let busy = visitor.place.busy();
    let mut response = (service.answer)(request).await.map(|body| RouteBody::Platform(body, busy));
    if is_secure {
        response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, HSTS);
    }
    response
}
