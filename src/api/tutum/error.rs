//! What goes wrong at this door, and the only place of its status codes for that (spec §1.11, §1.12).

use std::time::Duration;

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderName, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::api::limits::{Excess, HEADERS_MAX, TARGET_MAX, retry_after};
use crate::platform;

/// Why a request is not answered with success.
#[derive(Debug)]
pub(super) enum Error {
    /// The platform's own.
    Platform(platform::Error),
    /// No path, or nothing at it that is the caller's.
    NotFound,
    /// Who is calling is not known. It is not said why.
    Unauthenticated,
    /// The path has no such method.
    MethodNotAllowed(Method),
    /// The body is of a type that this door does not read; which.
    UnsupportedMediaType(String),
    /// The body cannot be read as a JSON object.
    Unparsable(String),
    /// The body has more than [`BODY_MAX`](crate::api::BODY_MAX) bytes.
    TooLarge,
    /// The head of the request is too long; what of it.
    HeadTooLong(Excess),
    /// The body did not arrive in time.
    TooSlow,
    /// A member of the request, or a parameter, that breaks its rule.
    Invalid { field: &'static str, message: String },
    /// A registration that is not accepted, in an envelope of its own (spec §2.8).
    Registration { field: &'static str, message: String },
}

impl Error {
    /// A member that breaks its rule.
    pub(super) fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { field, message: message.into() }
    }
}

impl From<Excess> for Error {
    fn from(excess: Excess) -> Self {
        Self::HeadTooLong(excess)
    }
}

impl From<platform::Error> for Error {
    fn from(error: platform::Error) -> Self {
        Self::Platform(error)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match self {
            Self::Platform(error) => of_platform(error),
            Self::NotFound => not_found(),
            Self::Unauthenticated => unauthenticated(),
            Self::MethodNotAllowed(method) => {
                plain(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not offered here; see the header Allow."))
            }
            Self::UnsupportedMediaType(media) => plain(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("The body is of type '{media}'; send application/json."),
            ),
            Self::Unparsable(text) => plain(StatusCode::BAD_REQUEST, text),
            Self::TooLarge => {
                plain(StatusCode::PAYLOAD_TOO_LARGE, format!("The body has more than {} bytes.", crate::api::BODY_MAX))
            }
            Self::HeadTooLong(Excess::Headers) => plain(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                format!("The headers have more than {HEADERS_MAX} bytes."),
            ),
            Self::HeadTooLong(Excess::Target) => {
                plain(StatusCode::URI_TOO_LONG, format!("The request target has more than {TARGET_MAX} bytes."))
            }
            Self::TooSlow => plain(StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time."),
            Self::Invalid { field, message } => of_field(field, &message),
            Self::Registration { field, message } => {
                (StatusCode::BAD_REQUEST, Json(json!({"register": {field: [message]}}))).into_response()
            }
        }
    }
}

/// The one mapping of the platform's errors. Every variant is named, so that a new one has to be thought about.
fn of_platform(error: platform::Error) -> Response {
    use platform::Error as E;
    match error {
        // Somebody else's things are not there (spec §2.7).
        E::NotFound(_) | E::Forbidden | E::Denied(_) => not_found(),
        E::WrongCredentials | E::Disabled => unauthenticated(),
        E::Throttled(wait) => throttled(wait).into_response(),
        E::Invalid { field, message } => of_field(member(field), &message),
        E::Taken { field } => of_field(member(field), &format!("{} is taken", member(field))),
        E::Quota(exceeded) => plain(StatusCode::FORBIDDEN, exceeded.to_string()),
        E::Refused(text) | E::Conflict(text) => plain(StatusCode::BAD_REQUEST, text),
        E::DeployFailed(_) | E::Cancelled | E::Unavailable(_) => {
            plain(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        }
        E::Internal(ref cause) => {
            tracing::error!(error = format!("{cause:#}"), "a request failed on our side");
            plain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
        }
    }
}

/// What this API calls a field of the platform's.
fn member(field: &'static str) -> &'static str {
    const MEMBERS: [(&str, &str); 8] = [
        ("wanted", "target_num_containers"),
        ("command", "run_command"),
        ("ports", "container_ports"),
        ("environment", "container_envvars"),
        ("links", "linked_to_application"),
        ("grants", "roles"),
        ("domain", "web_public_dns"),
        ("size", "container_size"),
    ];
    MEMBERS.iter().find(|(core, _)| *core == field).map_or(field, |(_, own)| own)
}

/// RFC 6585 §4.
fn throttled(wait: Duration) -> (StatusCode, [(HeaderName, String); 1], Json<Value>) {
    let seconds = retry_after(wait);
    let text = format!("Too many attempts; try again in {seconds} s.");
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds.to_string())], Json(json!({"error": text})))
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response {
    (status, Json(json!({"error": text.into()}))).into_response()
}

fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "There is no such thing here.")
}

fn unauthenticated() -> Response {
    plain(
        StatusCode::UNAUTHORIZED,
        "Wrong or missing credentials. Send the header Authorization: ApiKey USERNAME:APIKEY.",
    )
}

fn of_field(field: &str, text: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"error": text, "field": field}))).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn answer(error: impl Into<Error>) -> (u16, Value) {
        let response = error.into().into_response();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn envelopes_of_the_specification() {
        use platform::Error as E;
        let state = answer(E::Refused("It is Stopped.".to_owned())).await;
        assert_eq!(state, (400, json!({"error": "It is Stopped."})));
        assert_eq!(answer(E::Conflict("busy".to_owned())).await, (400, json!({"error": "busy"})));
        let field = answer(E::invalid("name", "too long")).await;
        assert_eq!(field, (400, json!({"error": "too long", "field": "name"})));
        assert_eq!(answer(Error::invalid("name", "too long")).await, field);
        let taken = answer(E::Taken { field: "domain" }).await;
        assert_eq!(taken, (400, json!({"error": "web_public_dns is taken", "field": "web_public_dns"})));
        let missing = answer(Error::NotFound).await;
        assert_eq!(missing.0, 404);
        assert_eq!(answer(E::NotFound("app 'x'".to_owned())).await, missing);
        assert_eq!(answer(E::Forbidden).await, missing);
        let unknown = answer(Error::Unauthenticated).await;
        assert_eq!(unknown.0, 401);
        assert_eq!(answer(E::WrongCredentials).await, unknown);
        assert_eq!(answer(E::Disabled).await, unknown);
        assert_eq!(answer(E::Throttled(Duration::from_millis(1001))).await.0, 429);
        assert_eq!(answer(Error::MethodNotAllowed(Method::PUT)).await.0, 405);
        assert_eq!(answer(Error::UnsupportedMediaType("text/plain".to_owned())).await.0, 415);
        assert_eq!(answer(E::Unavailable("away".to_owned())).await, (503, json!({"error": "away"})));
        let register = answer(Error::Registration { field: "email", message: "no".to_owned() }).await;
        assert_eq!(register, (400, json!({"register": {"email": ["no"]}})));
    }

    #[tokio::test]
    async fn an_internal_error_says_nothing_about_itself() {
        let (status, body) = answer(platform::Error::Internal(anyhow::anyhow!("secret path"))).await;
        assert_eq!(status, 500);
        assert!(!body.to_string().contains("secret"), "{body}");
    }
}
