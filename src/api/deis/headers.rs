//! What every answer of this door carries besides its body (spec §1.3, §1.5).

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::ext::ReasonPhrase;
use serde_json::json;

use super::error::Error;
use crate::api::routes::Allow;

/// With underscores, as Deis sent them; client 1.5.2 warns about any other value than its own 1.2.
const API_VERSION: HeaderName = HeaderName::from_static("x_deis_api_version");
const PLATFORM_VERSION: HeaderName = HeaderName::from_static("x_deis_platform_version");
const CLIENT_VERSION: HeaderName = HeaderName::from_static("x-deis-version");
/// What clients of Deis 1.0 to 1.6 read after config and builds; they crash without it.
const RELEASE: HeaderName = HeaderName::from_static("x-deis-release");
/// What clients of Deis 1.7 to 1.9 read instead.
const NEW_RELEASE: HeaderName = HeaderName::from_static("deis-release");

/// What a client may send as its version: 1.0.x sends `1.0`, 1.1 to 1.9 send `1`, libraries nothing.
const CLIENT_VERSIONS: [&str; 2] = ["1.0", "1"];

/// Refuses clients of another version before anything else is looked at, answers a browser's preflight, and says on
/// every answer which methods the path has.
pub(super) async fn with_allow(State(Allow(allow)): State<Allow>, request: Request, next: Next) -> Response {
    let mut response = match check_version(request.headers()) {
        Err(error) => error.into_response(),
        Ok(()) if is_preflight(&request) => preflight(allow.clone()),
        Ok(()) => next.run(request).await,
    };
    response.headers_mut().insert(ALLOW, allow);
    response
}

/// Puts the headers of §1.3 and §1.5 and the upper-case reason phrase on an answer.
pub(super) async fn dress(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(API_VERSION, HeaderValue::from_static("1.2"));
    headers.insert(PLATFORM_VERSION, HeaderValue::from_static("1.5.2"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if let Some(reason) = reason(response.status()) {
        response.extensions_mut().insert(reason);
    }
    response
}

/// The number of the release that a change made, as both generations of clients look for it.
pub(super) fn release(version: i64) -> [(HeaderName, String); 2] {
    [(RELEASE, version.to_string()), (NEW_RELEASE, version.to_string())]
}

/// OPTIONS: what the endpoint speaks. The methods are in `Allow`.
pub(super) async fn describe() -> Json<serde_json::Value> {
    Json(json!({
        "renders": ["application/json"],
        "parses": ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"],
    }))
}

fn check_version(headers: &HeaderMap) -> Result<(), Error> {
    match headers.get(CLIENT_VERSION).map(|value| value.to_str().unwrap_or("?")) {
        Some(version) if !CLIENT_VERSIONS.contains(&version) => Err(Error::ClientVersion(version.to_owned())),
        _ => Ok(()),
    }
}

/// Browsers send no token with the question whether they may send one.
fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight(allow: HeaderValue) -> Response {
    let headers = HeaderValue::from_static("authorization, content-type, x-deis-version");
    [(ACCESS_CONTROL_ALLOW_METHODS, allow), (ACCESS_CONTROL_ALLOW_HEADERS, headers)].into_response()
}

/// `404 NOT FOUND`: Django's spelling, which clients print and tests search for.
fn reason(status: StatusCode) -> Option<ReasonPhrase> {
    ReasonPhrase::try_from(status.canonical_reason()?.to_ascii_uppercase().into_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_client_generations_and_libraries_are_served() {
        let check = |version: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(version) = version {
                headers.insert(CLIENT_VERSION, version.parse().unwrap());
            }
            check_version(&headers)
        };
        assert!(check(None).is_ok());
        assert!(check(Some("1.0")).is_ok(), "deis 1.0.2");
        assert!(check(Some("1")).is_ok(), "deis 1.5.2");
        assert!(matches!(check(Some("99")), Err(Error::ClientVersion(version)) if version == "99"));
        assert!(check(Some("1.2")).is_err());
        assert!(check(Some("")).is_err());
    }

    #[test]
    fn reasons_are_upper_case() {
        let check = |status: StatusCode, expect: &str| {
            assert_eq!(reason(status).unwrap().as_bytes(), expect.as_bytes());
        };
        check(StatusCode::OK, "OK");
        check(StatusCode::CREATED, "CREATED");
        check(StatusCode::NO_CONTENT, "NO CONTENT");
        check(StatusCode::BAD_REQUEST, "BAD REQUEST");
        check(StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
        check(StatusCode::FORBIDDEN, "FORBIDDEN");
        check(StatusCode::NOT_FOUND, "NOT FOUND");
        check(StatusCode::METHOD_NOT_ALLOWED, "METHOD NOT ALLOWED");
        check(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED MEDIA TYPE");
        check(StatusCode::SERVICE_UNAVAILABLE, "SERVICE UNAVAILABLE");
    }
}
