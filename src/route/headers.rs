//! What changes in the headers of a message that passes through, and nothing else does.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, FORWARDED, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Response};
use uuid::Uuid;

use super::respond::ERROR_HEADER;

/// Names a request in logs of the client, of Slipway and of the app.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const PROXY: HeaderName = HeaderName::from_static("proxy");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Longest request id that a client may choose.
const REQUEST_ID_MAX: usize = 128;

/// What is known of a client connection, as header values made once for all its requests.
#[derive(Debug)]
pub(crate) struct Origin {
    client: IpAddr,
    our_port: u16,
    is_tls: bool,
    address: HeaderValue,
    port: HeaderValue,
    proto: HeaderValue,
}

impl Origin {
    /// Of a connection from `peer` to our `port`.
    pub(crate) fn new(peer: SocketAddr, port: u16, is_tls: bool) -> Self {
        let client: IpAddr = peer.ip().to_canonical();
        let value = |text: String| HeaderValue::from_str(&text).expect("an address is a header value");
        let proto = HeaderValue::from_static(if is_tls { "https" } else { "http" });
        let (address, our_port) = (value(client.to_string()), port);
        Self { client, our_port, is_tls, address, port: value(port.to_string()), proto }
    }

    /// Who asks, as far as this connection tells.
    pub(crate) fn client(&self) -> IpAddr {
        self.client
    }

    /// Where we were reached.
    pub(crate) fn port(&self) -> u16 {
        self.our_port
    }

    /// Whether the client speaks TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Says who asks, by which scheme and port. Only the list of addresses keeps what the client claimed: the last
    /// entry is ours, and the rest is as true as the client.
    ///
    /// `Host` goes on unchanged, so `X-Forwarded-Host` and `Forwarded` could only contradict it and are dropped.
    pub(crate) fn stamp(&self, headers: &mut HeaderMap) {
        drop_lookalikes(headers);
        headers.remove(FORWARDED);
        headers.remove(X_FORWARDED_HOST);
        let forwarded_for = match headers.contains_key(X_FORWARDED_FOR) {
            false => self.address.clone(),
            true => joined(headers, &X_FORWARDED_FOR, b", ", Some(&self.address)),
        };
        headers.insert(X_FORWARDED_FOR, forwarded_for);
        headers.insert(X_FORWARDED_PROTO, self.proto.clone());
        headers.insert(X_FORWARDED_PORT, self.port.clone());
    }
}

/// Apps behind CGI-like interfaces (WSGI, Rack) read `X_Forwarded_For` as `X-Forwarded-For` and `Content_Length` as
/// `Content-Length`; a client could speak for us, or hide one request in another.
fn drop_lookalikes(headers: &mut HeaderMap) {
    let is_lookalike = |name: &HeaderName| {
        let text = name.as_str();
        text.contains('_') && {
            let read = text.replace('_', "-");
            read.starts_with("x-forwarded-")
                || ["x-request-id", "content-length", "transfer-encoding"].contains(&read.as_str())
        }
    };
    if headers.keys().any(is_lookalike) {
        let names: Vec<HeaderName> = headers.keys().filter(|name| is_lookalike(name)).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

/// The request's id: the client's own when it is 1 to 128 characters of `[A-Za-z0-9._-]`, else a new UUID.
pub(crate) fn request_id(headers: &mut HeaderMap) -> HeaderValue {
    let is_sane = |value: &HeaderValue| {
        let bytes = value.as_bytes();
        (1..=REQUEST_ID_MAX).contains(&bytes.len())
            && bytes.iter().all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    let mut sent = headers.get_all(X_REQUEST_ID).iter();
    if let (Some(value), None) = (sent.next(), sent.next())
        && is_sane(value)
    {
        return value.clone();
    }
    let id = new_id();
    headers.insert(X_REQUEST_ID, id.clone());
    id
}

/// A random UUID. From the thread's generator: the operating system's would cost a call for each request.
fn new_id() -> HeaderValue {
    let mut text = Uuid::encode_buffer();
    let text = uuid::Builder::from_random_bytes(rand::random()).into_uuid().hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).expect("a UUID is a header value")
}

/// Removes what concerns only the connection that a message came over (RFC 9110 §7.6.1), also what `Connection` names.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        strip_named(headers);
    }
    headers.remove(KEEP_ALIVE);
    headers.remove(PROXY_CONNECTION);
    headers.remove(UPGRADE);
}

fn strip_named(headers: &mut HeaderMap) {
    let mut named = Vec::new();
    for value in headers.get_all(CONNECTION) {
        for token in value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            let is_plain =
                [&b"close"[..], b"keep-alive", b"upgrade"].iter().any(|word| token.eq_ignore_ascii_case(word));
            if !is_plain && let Ok(name) = HeaderName::from_bytes(token) {
                named.push(name);
            }
        }
    }
    headers.remove(CONNECTION);
    for name in named {
        // These are never the client's to take away: they say where a message goes and where it ends.
        if name != HOST && name != CONTENT_LENGTH && name != TRANSFER_ENCODING {
            headers.remove(name);
        }
    }
}

/// Turns a client's request headers into those that the upstream gets. `has_body` decides the framing anew: what the
/// client said of it was about its own connection.
pub(crate) fn to_upstream(headers: &mut HeaderMap, origin: &Origin, has_body: bool) {
    let has_trailers = headers.contains_key(TE) && accepts_trailers(headers);
    strip_hop_by_hop(headers);
    headers.remove(TE);
    if has_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    // A CGI program would take it for its own proxy setting: <https://httpoxy.org>.
    headers.remove(PROXY);
    headers.remove(TRANSFER_ENCODING);
    if has_body && !headers.contains_key(CONTENT_LENGTH) {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    origin.stamp(headers);
}

/// Whether a body is framed in a way that everybody reads alike. A coding beside `chunked` would be lost on the way on, since
/// the framing is made anew.
pub(crate) fn is_plainly_framed(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    codings.next().is_none_or(is_chunked) && codings.next().is_none()
}

/// HTTP/2 clients may split `Cookie`; HTTP/1.1 has exactly one (RFC 9113 §8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_some() {
        let cookie = joined(headers, &COOKIE, b"; ", None);
        headers.insert(COOKIE, cookie);
    }
}

/// Turns an upstream's response into one for the client. Yields how long the upstream keeps the connection open, if it
/// said so.
pub(crate) fn to_client<B>(response: &mut Response<B>) -> Option<Duration> {
    let headers = response.headers_mut();
    let keep_alive = headers.get(KEEP_ALIVE).and_then(keep_alive_limit);
    strip_hop_by_hop(headers);
    if headers.remove(TRANSFER_ENCODING).is_some() {
        // A length beside chunks does not count (RFC 9112 §6.3); passed on, it would.
        headers.remove(CONTENT_LENGTH);
    }
    headers.remove(ERROR_HEADER);
    keep_alive
}

/// From `timeout=5, max=100`: a second less than promised, so that a request does not cross the upstream's goodbye.
fn keep_alive_limit(value: &HeaderValue) -> Option<Duration> {
    let parameter = value.to_str().ok()?.split(',').find_map(|part| part.trim().strip_prefix("timeout="))?;
    let seconds: u64 = parameter.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.saturating_sub(1)))
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    let words = headers.get_all(TE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    words.map(str::trim).any(|word| word.eq_ignore_ascii_case("trailers"))
}

/// All values of a header, and one more, as one.
fn joined(headers: &HeaderMap, name: &HeaderName, separator: &[u8], last: Option<&HeaderValue>) -> HeaderValue {
    let mut text = BytesMut::new();
    for value in headers.get_all(name).iter().chain(last).filter(|value| !value.is_empty()) {
        if !text.is_empty() {
            text.put_slice(separator);
        }
        text.put_slice(value.as_bytes());
    }
    HeaderValue::from_maybe_shared(text.freeze()).expect("header values joined by visible characters are one")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    fn origin() -> Origin {
        Origin::new("[::ffff:10.0.0.9]:5000".parse().expect("an address"), 8443, true)
    }

    fn upstream(pairs: &[(&'static str, &str)], has_body: bool) -> HeaderMap {
        let mut headers = map(pairs);
        to_upstream(&mut headers, &origin(), has_body);
        headers
    }

    #[test]
    fn hop_by_hop_headers_and_those_that_connection_names_are_removed() {
        let headers = upstream(
            &[
                ("host", "a"),
                ("connection", "keep-alive, X-Secret"),
                ("connection", "host, content-length"),
                ("content-length", "3"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "keep-alive"),
                ("proxy", "http://evil"),
                ("te", "trailers, deflate"),
                ("trailer", "x-sum"),
                ("upgrade", "h2c"),
                ("x-secret", "1"),
                ("x-kept", "1"),
            ],
            true,
        );
        for gone in ["connection", "keep-alive", "proxy-connection", "proxy", "upgrade", "x-secret"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        assert_eq!(headers["host"], "a");
        assert_eq!(headers["content-length"], "3");
        assert_eq!(headers["te"], "trailers");
        assert_eq!(headers["trailer"], "x-sum");
        assert_eq!(headers["x-kept"], "1");
        assert!(!headers.contains_key("transfer-encoding"));
    }

    #[test]
    fn a_body_of_unknown_length_goes_on_in_chunks_whatever_the_method() {
        assert_eq!(upstream(&[("transfer-encoding", "chunked")], true)["transfer-encoding"], "chunked");
        assert_eq!(upstream(&[], true)["transfer-encoding"], "chunked");
        assert!(!upstream(&[("transfer-encoding", "chunked")], false).contains_key("transfer-encoding"));
    }

    #[test]
    fn the_client_cannot_speak_for_the_router() {
        let headers = upstream(
            &[
                ("x-forwarded-for", "1.1.1.1"),
                ("x-forwarded-for", "2.2.2.2"),
                ("x-forwarded-proto", "gopher"),
                ("x-forwarded-port", "1"),
                ("x-forwarded-host", "evil"),
                ("forwarded", "host=evil"),
                ("x_forwarded_for", "3.3.3.3"),
                ("content_length", "3"),
                ("transfer_encoding", "chunked"),
                ("x_request_id", "3"),
                ("x_other", "1"),
            ],
            false,
        );
        assert_eq!(headers["x-forwarded-for"], "1.1.1.1, 2.2.2.2, 10.0.0.9");
        assert_eq!(headers.get_all("x-forwarded-for").iter().count(), 1);
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-port"], "8443");
        let lookalikes = ["x_forwarded_for", "content_length", "transfer_encoding", "x_request_id"];
        for gone in ["x-forwarded-host", "forwarded"].into_iter().chain(lookalikes) {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        assert_eq!(headers["x_other"], "1");
        assert_eq!(upstream(&[], false)["x-forwarded-for"], "10.0.0.9");
    }

    #[test]
    fn a_sane_request_id_is_kept_and_any_other_replaced() {
        let id = |value: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in value {
                headers.append(X_REQUEST_ID, HeaderValue::from_str(value).expect("a value"));
            }
            let id = request_id(&mut headers);
            assert_eq!(headers.get_all(X_REQUEST_ID).iter().collect::<Vec<_>>(), [&id]);
            id.to_str().expect("text").to_owned()
        };
        let long = "a".repeat(128);
        for kept in ["a", "A-b_c.9", &long] {
            assert_eq!(id(&[kept]), kept);
        }
        for replaced in [&[][..], &[""], &["a b"], &["a/b"], &["a", "b"]] {
            assert!(id(replaced).parse::<Uuid>().is_ok(), "{replaced:?}");
        }
        assert!(id(&[&"a".repeat(129)]).parse::<Uuid>().is_ok());
        assert_ne!(id(&[]), id(&[]));
    }

    #[test]
    fn a_response_loses_what_was_the_connections_and_what_only_slipway_says() {
        let mut response = Response::new(());
        *response.headers_mut() = map(&[
            ("connection", "close"),
            ("keep-alive", "timeout=5, max=100"),
            ("transfer-encoding", "chunked"),
            ("content-length", "7"),
            ("x-slipway-error", "no-upstream"),
            ("trailer", "x-sum"),
        ]);
        assert_eq!(to_client(&mut response), Some(Duration::from_secs(4)));
        let left: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["trailer"]);
        let mut plain = Response::new(());
        *plain.headers_mut() = map(&[("content-length", "7")]);
        assert_eq!(to_client(&mut plain), None);
        assert_eq!(plain.headers()["content-length"], "7");
    }

    #[test]
    fn split_cookies_become_one() {
        let mut headers = map(&[("cookie", "a=1"), ("cookie", "b=2")]);
        join_cookies(&mut headers);
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }
}
