//! HTTP doors over the platform's verbs.
//!
//! What holds for every door is here: request ids, the size of bodies, paths with and without a trailing slash. No door
//! answers with a redirect: the clients that we serve do not follow one.

mod access_log;
mod body;
mod client;
pub mod deis;
mod docs;
mod email;
mod limits;
mod monitoring;
mod openapi;
mod routes;
mod serve;
pub mod tutum;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde_json::json;
use tower::ServiceExt;

use crate::platform::Platform;

pub use serve::{HEAD_TIMEOUT, serve};

/// Most bytes of a request body.
pub const BODY_MAX: usize = 1 << 20;

/// What is only for those who reach the API's own address, beside all doors.
pub fn local_router(platform: Platform) -> Router {
    let metrics = Router::new().route("/metrics", get(monitoring::metrics)).with_state(platform.clone());
    finish(metrics.merge(doors(platform)))
}

/// All doors as one service, as the router serves them to everybody; their paths do not collide.
pub fn router(platform: Platform) -> Router {
    finish(doors(platform))
}

fn doors(platform: Platform) -> Router {
    Router::new()
        .merge(monitoring::health(platform.clone())) // monitoring: this process serves, and can work
        .route("/docs", get(docs::page)) // the reference of all doors, for people
        .nest("/v1", deis::router(platform.clone())) // the deis client
        .nest("/api/v1", tutum::router(platform)) // the tutum client and its SDK
        .fallback(unknown)
}

fn finish(doors: Router) -> Router {
    Router::new()
        .fallback_service(doors.map_request(without_trailing_slash))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn(access_log::record))
}

async fn unknown() -> Response {
    (StatusCode::NOT_FOUND, Json(json!({"detail": "Not found"}))).into_response()
}

/// `/a/b/` is `/a/b`. The original stays readable as [`axum::extract::OriginalUri`].
fn without_trailing_slash(mut request: Request) -> Request {
    let path = request.uri().path();
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() || trimmed.len() == path.len() {
        return request;
    }
    let text = match request.uri().query() {
        Some(query) => format!("{trimmed}?{query}"),
        None => trimmed.to_owned(),
    };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = text.parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn a_trailing_slash_makes_no_difference() {
        let check = |given: &str, expect: &str| {
            let request = Request::builder().uri(given).body(Body::empty()).unwrap();
            assert_eq!(without_trailing_slash(request).uri(), expect, "{given}");
        };
        check("/v1/apps/", "/v1/apps");
        check("/v1/apps", "/v1/apps");
        check("/v1/apps/?page=2", "/v1/apps?page=2");
        check("/v1/apps//", "/v1/apps");
        check("/", "/");
        check("/v1/keys/a%20b/", "/v1/keys/a%20b");
        check("http://host:1/v1/apps/", "http://host:1/v1/apps");
    }
}
