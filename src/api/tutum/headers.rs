//! What every answer of this door carries besides its body (spec §1.5, §1.10).

use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, VARY};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use crate::api::routes::Allow;

/// Copied from the original's answers, as is the next.
pub(super) const CACHING: &str = "must-revalidate, max-age=0";
pub(super) const VARYING: &str = "Accept, Authorization, Cookie";

/// Says which methods the path has to whoever asked with another one.
pub(super) async fn with_allow(State(Allow(allow)): State<Allow>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

/// Puts the headers of §1.5 on an answer.
pub(super) async fn dress(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(CACHING));
    headers.insert(VARY, HeaderValue::from_static(VARYING));
    response
}
