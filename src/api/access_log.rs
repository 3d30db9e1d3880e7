//! One line per request, and the id that ties it to what happened on its behalf.

use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from whoever sits in front.
const REQUEST_ID_MAX: usize = 64;

/// Runs the request in a span that carries its id, and answers with that id in `X-Request-Id`.
///
/// Neither the query nor any header is logged: they may hold secrets.
pub(super) async fn record(request: Request, next: Next) -> Response {
    let id = given_id(&request).unwrap_or_else(|| Uuid::new_v4().to_string());
    let span =
        tracing::info_span!("request", request.id = %id, method = %request.method(), path = request.uri().path());
    async move {
        let began = Instant::now();
        let mut response = next.run(request).await;
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(status = response.status().as_u16(), duration_ms, "answered");
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        response
    }
    .instrument(span)
    .await
}

fn given_id(request: &Request) -> Option<String> {
    let id = request.headers().get(REQUEST_ID)?.to_str().ok()?;
    let is_plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    (is_plain && id.len() <= REQUEST_ID_MAX).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn only_plain_ids_are_taken_over() {
        let given = |id: &str| given_id(&Request::builder().header("X-Request-Id", id).body(Body::empty()).unwrap());
        assert_eq!(given("abc-1.2_3"), Some("abc-1.2_3".to_owned()));
        assert_eq!(given(""), None);
        assert_eq!(given("a b"), None);
        assert_eq!(given(&"a".repeat(65)), None);
    }
}
