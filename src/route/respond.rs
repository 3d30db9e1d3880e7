//! Answers that Slipway gives itself, marked so that nobody takes them for the app's.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::body::RouteBody;

/// The header that marks an answer as Slipway's own; its value is one of [`error`]. An app cannot set it.
pub const ERROR_HEADER: HeaderName = HeaderName::from_static("x-slipway-error");

/// The values of [`ERROR_HEADER`].
pub mod error {
    /// 404: no app has this host name.
    pub const UNKNOWN_HOST: &str = "unknown-host";
    /// 503: the app has no running instance that takes requests.
    pub const NO_UPSTREAM: &str = "no-upstream";
    /// 502: no instance of the app accepted a connection.
    pub const UPSTREAM_REFUSED: &str = "upstream-refused";
    /// 502: the instance broke the connection off, or did not speak HTTP, before it answered.
    pub const UPSTREAM_BROKEN: &str = "upstream-broken";
    /// 504: the instance did not answer in time.
    pub const UPSTREAM_TIMEOUT: &str = "upstream-timeout";
    /// 400: the request cannot be routed: `Host` is missing, doubled or malformed, or its body broke off.
    pub const BAD_REQUEST: &str = "bad-request";
}

/// Why Slipway answers in place of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// See [`error::UNKNOWN_HOST`].
    UnknownHost,
    /// See [`error::NO_UPSTREAM`].
    NoUpstream,
    /// See [`error::UPSTREAM_REFUSED`].
    UpstreamRefused,
    /// See [`error::UPSTREAM_BROKEN`].
    UpstreamBroken,
    /// See [`error::UPSTREAM_TIMEOUT`].
    UpstreamTimeout,
    /// See [`error::BAD_REQUEST`].
    BadRequest,
}

impl Refusal {
    /// Status, value of [`ERROR_HEADER`], text for people.
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::UnknownHost => (
                StatusCode::NOT_FOUND,
                error::UNKNOWN_HOST,
                "404: no app has this host name. Check its spelling, or list the apps you can reach.\n",
            ),
            Self::NoUpstream => (
                StatusCode::SERVICE_UNAVAILABLE,
                error::NO_UPSTREAM,
                "503: this app has nothing running that takes requests. Deploy it, or scale its web process up.\n",
            ),
            Self::UpstreamRefused => (
                StatusCode::BAD_GATEWAY,
                error::UPSTREAM_REFUSED,
                "502: no instance of this app accepts connections. Its logs may say why.\n",
            ),
            Self::UpstreamBroken => (
                StatusCode::BAD_GATEWAY,
                error::UPSTREAM_BROKEN,
                "502: the app broke the connection off before it answered. Its logs may say why.\n",
            ),
            Self::UpstreamTimeout => (
                StatusCode::GATEWAY_TIMEOUT,
                error::UPSTREAM_TIMEOUT,
                "504: the app did not answer in time. Its logs may say why.\n",
            ),
            Self::BadRequest => (
                StatusCode::BAD_REQUEST,
                error::BAD_REQUEST,
                "400: this request cannot be routed: it needs one valid Host header and a complete body.\n",
            ),
        }
    }

    /// The value of [`ERROR_HEADER`].
    pub(crate) fn code(self) -> &'static str {
        self.parts().1
    }

    /// The whole answer.
    pub(crate) fn into_response(self) -> Response<RouteBody> {
        let (status, code, text) = self.parts();
        let mut response = Response::new(RouteBody::text(Bytes::from_static(text.as_bytes())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(ERROR_HEADER, HeaderValue::from_static(code));
        if self == Self::BadRequest {
            // What follows on a connection that carried a doubtful request is doubtful too.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
