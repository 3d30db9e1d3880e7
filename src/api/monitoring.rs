//! What monitoring asks: does the process live, can it work, what has it counted.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::platform::{Platform, Readiness};
use crate::telemetry::metrics::CONTENT_TYPE as METRICS_TYPE;

/// `/healthz` answers 200 as long as the process serves; who restarts processes asks that. `/healthz/ready` answers 200 when
/// the server can take work, else 503 with what is wrong; who sends it work asks that.
pub(super) fn health(platform: Platform) -> Router {
    Router::new()
        .route("/healthz", get(alive))
        .route("/healthz/live", get(alive))
        .route("/healthz/ready", get(ready))
        .with_state(platform)
}

async fn alive() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

async fn ready(State(platform): State<Platform>) -> Response {
    answer(&platform.readiness().await)
}

/// Only what anybody may know: why a part fails is in the server's log.
fn answer(readiness: &Readiness) -> Response {
    let part = |trouble: &Option<String>| if trouble.is_none() { "ok" } else { "unavailable" };
    for (part, trouble) in [("database", &readiness.database), ("engine", &readiness.engine)] {
        if let Some(why) = trouble {
            tracing::warn!(part, why, "not ready");
        }
    }
    let status = match readiness {
        _ if readiness.is_ready() => "ok",
        Readiness { is_stopping: true, .. } => "stopping",
        _ => "unavailable",
    };
    let code = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({"status": status, "database": part(&readiness.database), "engine": part(&readiness.engine)});
    (code, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// Prometheus's text format. At the API's own address only: names of apps are in it.
pub(super) async fn metrics(State(platform): State<Platform>) -> Response {
    ([(CONTENT_TYPE, METRICS_TYPE)], platform.metrics().await).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_named_without_details() {
        let check = |readiness: Readiness, expect: StatusCode| assert_eq!(answer(&readiness).status(), expect);
        check(Readiness::default(), StatusCode::OK);
        check(Readiness { is_stopping: true, ..Readiness::default() }, StatusCode::SERVICE_UNAVAILABLE);
        check(Readiness { engine: Some("gone".to_owned()), ..Readiness::default() }, StatusCode::SERVICE_UNAVAILABLE);
    }
}
