//! Which host a request is for: one canonical name from the `Host` header, an absolute target or an HTTP/2 authority.

use std::str;

use http::header::HOST;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};

/// Longest host name, RFC 1035 §2.3.4, with room for a final dot.
const HOST_MAX: usize = 254;

/// Why a request names no host that could be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadTarget {
    /// No `Host`.
    #[error("the request has no Host header")]
    MissingHost,
    /// More than one `Host`, or one that disagrees with the HTTP/2 authority.
    #[error("the request names more than one host")]
    SeveralHosts,
    /// Not a host name with an optional port.
    #[error("the request's Host is not a host name")]
    MalformedHost,
    /// A method or target that only a forward proxy serves, or nobody.
    #[error("this server is not a forward proxy")]
    NotOrigin,
}

/// Brings a request to the form that an upstream gets: exactly one valid `Host`, target in origin form.
///
/// An absolute target wins over `Host`, which is replaced (RFC 9112 §3.2.2); an HTTP/2 authority becomes `Host`
/// (RFC 9113 §8.3.1). A `Host` that came with an origin-form target stays byte for byte what the client sent.
pub(crate) fn normalise<B>(request: &mut Request<B>) -> Result<(), BadTarget> {
    if request.method() == Method::CONNECT {
        return Err(BadTarget::NotOrigin);
    }
    let sent = single_host(request.headers())?;
    let Some(authority) = request.uri().authority() else {
        return sent.ok_or(BadTarget::MissingHost).and_then(host_name).map(|_| ());
    };
    if request.uri().scheme().is_none() {
        // `GET name HTTP/1.1`: a bare authority is CONNECT's.
        return Err(BadTarget::NotOrigin);
    }
    if request.version() == Version::HTTP_2 {
        if sent.is_some_and(|sent| !sent.eq_ignore_ascii_case(authority.as_str())) {
            return Err(BadTarget::SeveralHosts);
        }
    } else if sent.is_none() && request.version() == Version::HTTP_11 {
        return Err(BadTarget::MissingHost);
    }
    let host = authority_value(authority)?;
    request.headers_mut().insert(HOST, host);
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    Ok(())
}

/// The canonical host of a request that [`normalise`] has accepted, for lookup: handed to `look` in lower case, without
/// port and final dot.
pub(crate) fn with_host<R>(headers: &HeaderMap, look: impl FnOnce(&str) -> R) -> Option<R> {
    let name = headers.get(HOST)?.to_str().ok().and_then(|text| host_name(text).ok())?;
    if !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(look(name));
    }
    let mut buffer = [0u8; HOST_MAX];
    let lower = buffer.get_mut(..name.len())?;
    lower.copy_from_slice(name.as_bytes());
    lower.make_ascii_lowercase();
    str::from_utf8(lower).ok().map(look)
}

fn single_host(headers: &HeaderMap) -> Result<Option<&str>, BadTarget> {
    let mut values = headers.get_all(HOST).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(BadTarget::SeveralHosts);
    }
    value.to_str().map(Some).map_err(|_| BadTarget::MalformedHost)
}

fn authority_value(authority: &Authority) -> Result<HeaderValue, BadTarget> {
    host_name(authority.as_str())?;
    HeaderValue::from_str(authority.as_str()).map_err(|_| BadTarget::MalformedHost)
}

/// The host of `host[:port]` (RFC 3986 §3.2.2), without its final dot.
///
/// Percent-encoding and other characters that no host name has are refused, so that what is looked up here and what an
/// app behind us reads cannot be two names.
fn host_name(text: &str) -> Result<&str, BadTarget> {
    let (host, port) = match text.rfind(':') {
        Some(colon) if !text[colon..].contains(']') => (&text[..colon], &text[colon + 1..]),
        _ => (text, ""),
    };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && (port.is_empty() || port.parse::<u16>().is_ok());
    if !is_port || host.len() > HOST_MAX || !is_host(host) {
        return Err(BadTarget::MalformedHost);
    }
    Ok(host.strip_suffix('.').unwrap_or(host))
}

fn is_host(host: &str) -> bool {
    if let Some(literal) = host.strip_prefix('[') {
        return literal.strip_suffix(']').is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    }
    !host.is_empty()
        && host != "."
        && !host.contains("..")
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(version: Version, target: &str, hosts: &[&str]) -> Request<()> {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, HeaderValue::from_bytes(host.as_bytes()).expect("a header value"));
        }
        request.body(()).expect("a request")
    }

    fn found(version: Version, target: &str, hosts: &[&str]) -> Result<String, BadTarget> {
        let mut request = request(version, target, hosts);
        normalise(&mut request)?;
        Ok(with_host(request.headers(), str::to_owned).expect("a normalised request has a host"))
    }

    #[test]
    fn the_host_is_compared_without_case_port_and_final_dot() {
        let check = |host: &str, expect: Result<&str, BadTarget>| {
            assert_eq!(found(Version::HTTP_11, "/", &[host]), expect.map(str::to_owned), "{host:?}");
        };
        check("hello.localhost", Ok("hello.localhost"));
        check("Hello.LOCALHOST:8080", Ok("hello.localhost"));
        check("hello.localhost.", Ok("hello.localhost"));
        check("hello.localhost.:80", Ok("hello.localhost"));
        check("hello.localhost:", Ok("hello.localhost"));
        check("127.0.0.1:80", Ok("127.0.0.1"));
        check("[::1]:80", Ok("[::1]"));
        check("[::1]", Ok("[::1]"));
        for bad in ["", ".", ":80", "a b", "a/b", "a@b", "a:b", "a:99999", "a..b", "[::1", "::1", "a%2eb", "a,b", "[x]"]
        {
            check(bad, Err(BadTarget::MalformedHost));
        }
        check(&"a".repeat(300), Err(BadTarget::MalformedHost));
        check("h\u{e9}llo.localhost", Err(BadTarget::MalformedHost));
    }

    #[test]
    fn a_request_names_exactly_one_host() {
        assert_eq!(found(Version::HTTP_11, "/", &[]), Err(BadTarget::MissingHost));
        assert_eq!(found(Version::HTTP_10, "/", &[]), Err(BadTarget::MissingHost));
        assert_eq!(found(Version::HTTP_11, "/", &["a", "a"]), Err(BadTarget::SeveralHosts));
        assert_eq!(found(Version::HTTP_11, "http://a/", &[]), Err(BadTarget::MissingHost));
        assert_eq!(found(Version::HTTP_2, "http://a/", &["b"]), Err(BadTarget::SeveralHosts));
        assert_eq!(found(Version::HTTP_2, "http://a/", &["A"]), Ok("a".to_owned()));
        assert_eq!(found(Version::HTTP_2, "https://a:444/", &[]), Ok("a".to_owned()));
        assert_eq!(found(Version::HTTP_11, "http://user@a/", &["a"]), Err(BadTarget::MalformedHost));
        assert_eq!(found(Version::HTTP_11, "a", &["a"]), Err(BadTarget::NotOrigin));
        let mut connect = request(Version::HTTP_11, "a:443", &["a"]);
        *connect.method_mut() = Method::CONNECT;
        assert_eq!(normalise(&mut connect), Err(BadTarget::NotOrigin));
    }

    #[test]
    fn an_absolute_target_wins_over_host_and_becomes_origin_form() {
        let mut absolute = request(Version::HTTP_11, "http://right.localhost:81/p?q=1", &["wrong.localhost"]);
        normalise(&mut absolute).expect("valid");
        assert_eq!(absolute.headers()[HOST], "right.localhost:81");
        assert_eq!(absolute.uri(), "/p?q=1");
        let mut bare = request(Version::HTTP_11, "http://right.localhost", &["x"]);
        normalise(&mut bare).expect("valid");
        assert_eq!(bare.uri().path(), "/");
        let mut origin = request(Version::HTTP_11, "/p?q=1", &["Right.Localhost:81"]);
        normalise(&mut origin).expect("valid");
        assert_eq!(origin.headers()[HOST], "Right.Localhost:81");
        assert_eq!(origin.uri(), "/p?q=1");
    }

    proptest! {
        #[test]
        fn any_host_value_is_either_refused_or_canonical(text in "[ -~]{0,40}") {
            if let Ok(host) = found(Version::HTTP_11, "/", &[&text]) {
                prop_assert!(!host.is_empty());
                prop_assert!(!host.ends_with('.'));
                prop_assert!(!host.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'/' || byte == b'@'));
                prop_assert!(text.to_ascii_lowercase().starts_with(&host));
            }
        }
    }
}
