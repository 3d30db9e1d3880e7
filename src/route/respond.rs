//! Answers that Slipway gives itself, marked so that nobody takes them for the app's.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::body::RouteBody;

/// The header that marks an answer as Slipway's own; its value is one of [`error`]. An app cannot set it.
pub const ERROR_HEADER: HeaderName = HeaderName::from_static("x-slipway-error");

/// Why Slipway answered, or why an answer broke off: the values of [`ERROR_HEADER`] and of `code` in access lines.
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
    /// 503: the app's owner has switched it to maintenance.
    pub const MAINTENANCE: &str = "maintenance";
    /// 413: the request's body is larger than the app's settings allow.
    pub const BODY_TOO_LARGE: &str = "body-too-large";
    /// 408: the client fell silent in the middle of a body, or was too slow.
    pub const REQUEST_TIMEOUT: &str = "request-timeout";
    /// 503: as many requests of the app as its settings allow are being answered.
    pub const APP_BUSY: &str = "app-busy";
    /// In access lines only: the client went away before it had the whole answer.
    pub const CLIENT_GONE: &str = "client-gone";
    /// In access lines only: the instance broke off in the middle of its answer.
    pub const RESPONSE_BROKEN: &str = "response-broken";
    /// In access lines only: the instance fell silent in the middle of its answer.
    pub const RESPONSE_STALLED: &str = "response-stalled";
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
    /// See [`error::MAINTENANCE`].
    Maintenance,
    /// See [`error::BODY_TOO_LARGE`].
    BodyTooLarge,
    /// See [`error::REQUEST_TIMEOUT`].
    RequestTimeout,
    /// See [`error::APP_BUSY`].
    AppBusy,
}

impl Refusal {
    /// Status, value of [`ERROR_HEADER`], what happened, what to do.
    fn parts(self) -> (StatusCode, &'static str, &'static str, &'static str) {
        match self {
            Self::UnknownHost => (
                StatusCode::NOT_FOUND,
                error::UNKNOWN_HOST,
                "no app has this host name",
                "Check its spelling, or list the apps you can reach.",
            ),
            Self::NoUpstream => (
                StatusCode::SERVICE_UNAVAILABLE,
                error::NO_UPSTREAM,
                "this app has nothing running that takes requests",
                "Deploy it, or scale its web process up.",
            ),
            Self::UpstreamRefused => (
                StatusCode::BAD_GATEWAY,
                error::UPSTREAM_REFUSED,
                "no instance of this app accepts connections",
                "Its logs may say why.",
            ),
            Self::UpstreamBroken => (
                StatusCode::BAD_GATEWAY,
                error::UPSTREAM_BROKEN,
                "the app broke the connection off before it answered",
                "Its logs may say why.",
            ),
            Self::UpstreamTimeout => (
                StatusCode::GATEWAY_TIMEOUT,
                error::UPSTREAM_TIMEOUT,
                "the app did not answer in time",
                "Its logs may say why.",
            ),
            Self::BadRequest => (
                StatusCode::BAD_REQUEST,
                error::BAD_REQUEST,
                "this request cannot be routed",
                "It needs one valid Host header and a complete body.",
            ),
            Self::Maintenance => (
                StatusCode::SERVICE_UNAVAILABLE,
                error::MAINTENANCE,
                "this app is down for maintenance",
                "Its owner has switched it off for a while. Try again later.",
            ),
            Self::BodyTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                error::BODY_TOO_LARGE,
                "the body of this request is larger than this app takes",
                "Its owner can allow more with the routing setting max_body_bytes.",
            ),
            Self::RequestTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                error::REQUEST_TIMEOUT,
                "the body of this request did not arrive in time",
                "Send it again over a faster or steadier connection.",
            ),
            Self::AppBusy => (
                StatusCode::SERVICE_UNAVAILABLE,
                error::APP_BUSY,
                "this app is answering as many requests as it may at once",
                "Try again in a moment. Its owner can allow more with the routing setting max_connections.",
            ),
        }
    }

    /// The status that the client is told.
    pub(crate) fn status(self) -> StatusCode {
        self.parts().0
    }

    /// The value of [`ERROR_HEADER`].
    pub(crate) fn code(self) -> &'static str {
        self.parts().1
    }

    /// The body for a browser, else for a program.
    pub(crate) fn text(self, is_html: bool) -> Bytes {
        let (status, code, what, then) = self.parts();
        let number = status.as_u16();
        Bytes::from(match is_html {
            true => page(number, code, what, then),
            false => format!("{number}: {what}. {then}\n"),
        })
    }

    /// The whole answer around that body.
    pub(crate) fn response(self, body: Bytes, is_html: bool) -> Response<RouteBody> {
        let media = if is_html { "text/html; charset=utf-8" } else { "text/plain; charset=utf-8" };
        let mut response = Response::new(RouteBody::text(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(ERROR_HEADER, HeaderValue::from_static(self.code()));
        if matches!(self, Self::BadRequest | Self::BodyTooLarge | Self::RequestTimeout) {
            // What follows on a connection that carried a doubtful request is doubtful too, and the rest of a body that
            // nobody wants would have to be read before another request.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// One file without anything to load, so that it shows whatever else is broken.
fn page(number: u16, code: &str, what: &str, then: &str) -> String {
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{number}: {what}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1c2530; --dim: #667385; --paper: #f4f6f8; --card: #fff; --line: #dde3e9; --mark: #0b6e99 }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e7ecf1; --dim: #93a1b1; --paper: #12171d; --card: #1a2129; --line: #2b3540; --mark: #5bb8de }}
}}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--paper); color: var(--ink);
  font: 17px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif }}
main {{ box-sizing: border-box; width: min(34rem, 92vw); padding: 2.5rem; background: var(--card); border: 1px solid var(--line);
  border-top: 4px solid var(--mark); border-radius: 10px }}
b {{ display: block; color: var(--mark); font-size: 3.2rem; line-height: 1; letter-spacing: -.03em }}
h1 {{ margin: 1rem 0 .5rem; font-size: 1.35rem }}
h1::first-letter {{ text-transform: uppercase }}
p {{ margin: 0; color: var(--dim) }}
footer {{ margin-top: 2rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--dim); font-size: .82rem }}
code {{ color: var(--ink) }}
</style>
</head>
<body>
<main>
<b>{number}</b>
<h1>{what}.</h1>
<p>{then}</p>
<footer>Slipway answered this, in place of the app. Reason: <code>{code}</code></footer>
</main>
</body>
</html>
"#
    )
}
