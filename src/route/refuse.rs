//! When Slipway answers in place of an app by the app's own settings, and what such an answer looks like.

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CACHE_CONTROL, HOST, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;

use super::body::RouteBody;
use super::challenges::HTTP_PATH;
use super::headers::{self, Origin};
use super::passage::Passage;
use super::respond::Refusal;

/// The ports that URLs leave out.
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// Answers what the app's settings keep from it.
pub(crate) fn before_the_app(
    passage: &Passage,
    request: &Request<Incoming>,
    has_room: bool,
) -> Result<Option<Response<RouteBody>>, Refusal> {
    // Where a certificate authority looks, it looks by plain HTTP (RFC 8555 §8.3).
    let (settings, visitor) = (passage.settings(), &passage.visitor);
    if settings.redirects_to_https && !visitor.origin.is_tls() && !request.uri().path().starts_with(HTTP_PATH) {
        let config = &visitor.router.config;
        return Ok(Some(to_https(request, &visitor.origin, config.https_port)));
    }
    match () {
        () if !request.body().is_end_stream() && !headers::is_plainly_framed(request.headers()) => {
            Err(Refusal::BadRequest)
        }
        () if settings.is_in_maintenance => Err(Refusal::Maintenance),
        () if !has_room => Err(Refusal::AppBusy),
        // A body of known length is refused before any of it was read; others are counted as they come.
        () if request.body().size_hint().lower() > settings.max_body_bytes => Err(Refusal::BodyTooLarge),
        () => Ok(None),
    }
}

/// Slipway's answer in place of an app's; tells the passage of it.
pub(crate) fn response(refusal: Refusal, passage: &mut Passage) -> Response<RouteBody> {
    let accept = passage.accept();
    let custom = match refusal {
        Refusal::Maintenance if accept != Accept::Other => passage.settings().maintenance_page.clone(),
        _ => None,
    };
    let is_html = custom.is_some() || accept == Accept::Html;
    let body: Bytes = custom.unwrap_or_else(|| refusal.text(is_html));
    passage.answers_itself(refusal.status(), Some(refusal.code()), body.len() as u64);
    let mut response = refusal.response(body, is_html);
    passage.dress(response.headers_mut());
    response
}

/// What a client makes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accept {
    /// It names HTML, as browsers do.
    Html,
    /// It takes anything, or does not say: programs.
    Any,
    /// It takes something else only.
    Other,
}

impl Accept {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let Some(accept) = headers.get(ACCEPT).map(HeaderValue::as_bytes) else { return Self::Any };
        let names = |media: &[u8]| accept.windows(media.len()).any(|part| part.eq_ignore_ascii_case(media));
        match () {
            () if names(b"text/html") => Self::Html,
            () if names(b"*/*") || names(b"text/*") => Self::Any,
            () => Self::Other,
        }
    }
}

/// The way to the same address by HTTPS. GET and HEAD are sent there as browsers expect; others have to keep their method
/// and body, which only 308 says (RFC 9110 §15.4.9).
pub(crate) fn to_https<B>(request: &Request<B>, origin: &Origin, https_port: u16) -> Response<RouteBody> {
    let mut response = Response::new(RouteBody::text(Bytes::new()));
    *response.status_mut() = match *request.method() {
        Method::GET | Method::HEAD => StatusCode::MOVED_PERMANENTLY,
        _ => StatusCode::PERMANENT_REDIRECT,
    };
    let headers = response.headers_mut();
    // A setting that can be switched off must not live on in caches; to make browsers remember it there is HSTS.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(LOCATION, location(request, origin.port(), https_port));
    response
}

/// `https://HOST/PATH?QUERY`, with our port where it is not the usual one.
///
/// A client that names no port came to port 80. If that is not where we listen, something in front maps the usual ports to
/// ours, and so it does for 443.
fn location<B>(request: &Request<B>, our_port: u16, https_port: u16) -> HeaderValue {
    let host = request.headers().get(HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    // The host has been checked: a colon behind the last bracket comes before a port.
    let bracket = host.iter().rposition(|&byte| byte == b']').unwrap_or(0);
    let colon = host[bracket..].iter().position(|&byte| byte == b':').map(|at| at + bracket);
    let (name, port) = colon.map_or((host, &[][..]), |colon| (&host[..colon], &host[colon + 1..]));
    let is_mapped = our_port != HTTP_PORT && (port.is_empty() || port == b"80");
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let mut text = BytesMut::with_capacity(host.len() + path.len() + 16);
    text.extend_from_slice(b"https://");
    text.extend_from_slice(name);
    if !is_mapped && https_port != HTTPS_PORT {
        text.extend_from_slice(format!(":{https_port}").as_bytes());
    }
    // `OPTIONS *` asks about the server, which has no path.
    text.extend_from_slice(if path.starts_with('/') { path.as_bytes() } else { b"/" });
    HeaderValue::from_maybe_shared(text.freeze()).expect("a host name and a target are a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_keeps_host_path_and_query_and_finds_the_port() {
        let check = |host: &str, target: &str, ports: (u16, u16), expect: &str| {
            let request = Request::builder().uri(target).header(HOST, host).body(()).expect("a request");
            assert_eq!(location(&request, ports.0, ports.1), expect, "{host} {target} {ports:?}");
        };
        let (usual, ours, half) = ((80, 443), (8080, 8443), (80, 8443));
        check("a.example.com", "/p?q=1&r=%20", usual, "https://a.example.com/p?q=1&r=%20");
        check("a.example.com:80", "/", usual, "https://a.example.com/");
        check("A.example.com:8080", "/", ours, "https://A.example.com:8443/");
        check("a.example.com", "/", ours, "https://a.example.com/");
        check("a.example.com:80", "/", ours, "https://a.example.com/");
        check("a.example.com", "/", half, "https://a.example.com:8443/");
        check("[::1]:8080", "/x", ours, "https://[::1]:8443/x");
        check("[::1]", "//evil.example/x", usual, "https://[::1]//evil.example/x");
        check("a.example.com", "*", usual, "https://a.example.com/");
    }

    #[test]
    fn html_is_for_those_who_name_it() {
        let check = |accept: Option<&str>, expect: Accept| {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, HeaderValue::from_str(accept).expect("a value"));
            }
            assert_eq!(Accept::of(&headers), expect, "{accept:?}");
        };
        check(Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Accept::Html);
        check(Some("application/json, TEXT/HTML;q=0.1"), Accept::Html);
        check(None, Accept::Any);
        check(Some("*/*"), Accept::Any);
        check(Some("application/json"), Accept::Other);
    }
}
