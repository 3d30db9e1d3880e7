//! Sending a request once more: what it takes, kept where keeping it costs no allocation.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

use super::upload::Upload;

/// The head of the request that is out on a connection, so that it can be sent again on another.
///
/// Lives with the connection and is filled anew for each request: names and values are shared, the list keeps its room.
#[derive(Debug, Default)]
pub(crate) struct Copy {
    target: Option<(Method, Uri)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Copy {
    /// Takes the head of a request that may be sent twice: it has no body, and doing it twice is doing it once (RFC 9110
    /// §9.2.2).
    pub(crate) fn take(&mut self, request: &Request<Upload>) {
        if !is_idempotent(request.method()) || !http_body::Body::is_end_stream(request.body()) {
            return;
        }
        self.target = Some((request.method().clone(), request.uri().clone()));
        self.headers.extend(request.headers().iter().map(|(name, value)| (name.clone(), value.clone())));
    }

    /// It was answered. The parts go at once, since the buffer that the request came in is used again only then.
    pub(crate) fn clear(&mut self) {
        self.target = None;
        self.headers.clear();
    }

    /// The request, if it may be sent twice.
    pub(crate) fn restore(&mut self) -> Option<Request<Upload>> {
        let (method, uri) = self.target.take()?;
        let mut request = Request::new(Upload::empty());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in self.headers.drain(..) {
            headers.append(name, value);
        }
        *request.headers_mut() = headers;
        Some(request)
    }
}

fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE].contains(method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_comes_back_as_it_was_if_it_may_be_sent_twice() {
        let check = |method: Method, is_kept: bool| {
            let request = Request::builder().method(method.clone()).uri("/p?q=1").header("a", "1").header("a", "2");
            let request = request.header("x-odd", "z").body(Upload::empty()).expect("a request");
            let mut copy = Copy::default();
            copy.take(&request);
            let restored = copy.restore();
            assert_eq!(restored.is_some(), is_kept, "{method}");
            if let Some(restored) = restored {
                assert_eq!((restored.method(), restored.uri()), (request.method(), request.uri()));
                assert_eq!(restored.headers(), request.headers());
            }
            assert!(copy.restore().is_none());
        };
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS] {
            check(method, true);
        }
        for method in [Method::POST, Method::PATCH, Method::from_bytes(b"LOCK").expect("a method")] {
            check(method, false);
        }
    }

    #[test]
    fn what_was_answered_is_not_kept() {
        let mut copy = Copy::default();
        copy.take(&Request::new(Upload::empty()));
        copy.clear();
        assert!(copy.restore().is_none());
    }
}
