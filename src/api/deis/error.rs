//! What goes wrong at this door, and the only place of its status codes for that (spec §1.6).

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::api::limits::{Excess, HEADERS_MAX, TARGET_MAX, retry_after};
use crate::platform;

/// Field name -> what is wrong with it.
pub(super) type FieldErrors = BTreeMap<&'static str, Vec<String>>;

/// Why a request is not answered with success.
#[derive(Debug)]
pub(super) enum Error {
    /// The platform's own.
    Platform(platform::Error),
    /// No path, or nothing at it.
    NotFound,
    /// The token is missing or wrong; how, in Deis's words.
    Unauthenticated(&'static str),
    /// The path has no such method.
    MethodNotAllowed(Method),
    /// The client speaks another version; which.
    ClientVersion(String),
    /// The body is of a type that this door does not read; which.
    UnsupportedMediaType(String),
    /// The body cannot be read as what it says it is.
    Unparsable(String),
    /// The body has more than [`BODY_MAX`](crate::api::BODY_MAX) bytes.
    TooLarge,
    /// The head of the request is too long; what of it.
    HeadTooLong(Excess),
    /// The body did not arrive in time.
    TooSlow,
    /// Fields that break their rules.
    Fields(FieldErrors),
    /// Well formed, and makes no sense.
    Refused(String),
}

impl Error {
    /// One field that breaks one rule.
    pub(super) fn field(name: &'static str, message: impl Into<String>) -> Self {
        Self::Fields([(name, vec![message.into()])].into())
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
        let (status, body) = match self {
            Self::Platform(error) => return of_platform(error),
            Self::NotFound => not_found(),
            Self::Unauthenticated(text) => {
                let headers = [(WWW_AUTHENTICATE, "Token")];
                return (StatusCode::UNAUTHORIZED, headers, Json(json!({"detail": text}))).into_response();
            }
            Self::MethodNotAllowed(method) => {
                detail(StatusCode::METHOD_NOT_ALLOWED, format!("Method '{method}' not allowed."))
            }
            Self::ClientVersion(version) => (StatusCode::METHOD_NOT_ALLOWED, version_mismatch(&version)),
            Self::UnsupportedMediaType(media) => {
                detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("Unsupported media type '{media}' in request."))
            }
            Self::Unparsable(text) | Self::Refused(text) => detail(StatusCode::BAD_REQUEST, text),
            Self::TooLarge => detail(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("The request body has more than {} bytes.", crate::api::BODY_MAX),
            ),
            Self::HeadTooLong(Excess::Headers) => detail(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                format!("The request headers have more than {HEADERS_MAX} bytes."),
            ),
            Self::HeadTooLong(Excess::Target) => {
                detail(StatusCode::URI_TOO_LONG, format!("The request target has more than {TARGET_MAX} bytes."))
            }
            Self::TooSlow => detail(StatusCode::REQUEST_TIMEOUT, "The request body did not arrive in time."),
            Self::Fields(errors) => (StatusCode::BAD_REQUEST, Json(json!(errors))),
        };
        (status, body).into_response()
    }
}

/// The one mapping of the platform's errors. Every variant is named, so that a new one has to be thought about.
fn of_platform(error: platform::Error) -> Response {
    use platform::Error as E;
    let answer = match error {
        E::NotFound(_) => not_found(),
        E::Denied(text) => detail(StatusCode::FORBIDDEN, &text),
        E::Forbidden => detail(StatusCode::FORBIDDEN, "You do not have permission to perform this action."),
        E::WrongCredentials => login_failure("Unable to log in with provided credentials."),
        E::Throttled(wait) => return throttled(wait).into_response(),
        E::Disabled => login_failure("User account is disabled."),
        E::Invalid { field, message } => field_error(field, &message),
        E::Taken { field } => field_error(field, "This field must be unique."),
        E::Refused(text) => detail(StatusCode::BAD_REQUEST, text),
        E::Conflict(text) => detail(StatusCode::CONFLICT, text),
        E::DeployFailed(_) => detail(StatusCode::SERVICE_UNAVAILABLE, error.lines().join("\n")),
        E::Cancelled | E::Unavailable(_) => detail(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        E::Internal(ref cause) => {
            tracing::error!(error = format!("{cause:#}"), "a request failed on our side");
            detail(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
        }
    };
    answer.into_response()
}

/// As Django REST framework words it (RFC 6585 §4).
fn throttled(wait: Duration) -> (StatusCode, [(HeaderName, String); 1], Json<Value>) {
    let seconds = retry_after(wait);
    let text = format!(
        "Request was throttled. Expected available in {seconds} second{}.",
        if seconds == 1 { "" } else { "s" }
    );
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds.to_string())], Json(json!({"detail": text})))
}

fn detail(status: StatusCode, text: impl Into<String>) -> (StatusCode, Json<Value>) {
    (status, Json(json!({"detail": text.into()})))
}

fn not_found() -> (StatusCode, Json<Value>) {
    detail(StatusCode::NOT_FOUND, "Not found")
}

fn field_error(field: &str, text: &str) -> (StatusCode, Json<Value>) {
    (StatusCode::BAD_REQUEST, Json(json!({field: [text]})))
}

/// 400 and not 401, as Deis has it.
fn login_failure(text: &str) -> (StatusCode, Json<Value>) {
    field_error("non_field_errors", text)
}

/// `error` and not `detail`, as Deis has it.
fn version_mismatch(client: &str) -> Json<Value> {
    let text = format!("Client and server versions do not match. Client version: {client} Server version: 1");
    Json(json!({"error": text}))
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
    async fn the_platforms_sentence_arrives_unchanged() {
        use platform::Error as E;
        let refused = answer(E::Refused("No build associated with this release".to_owned())).await;
        assert_eq!(refused, (400, json!({"detail": "No build associated with this release"})));
        let failed = answer(E::DeployFailed(vec!["web.1 exited with 1".to_owned(), "last line".to_owned()])).await;
        assert_eq!(failed, (503, json!({"detail": "web.1 exited with 1\nlast line"})));
        let away = answer(E::Unavailable("the container engine does not answer".to_owned())).await;
        assert_eq!(away, (503, json!({"detail": "the container engine does not answer"})));
        let invalid = answer(E::invalid("cpu", "CPU shares must be an integer")).await;
        assert_eq!(invalid, (400, json!({"cpu": ["CPU shares must be an integer"]})));
    }

    #[tokio::test]
    async fn envelopes_of_the_specification() {
        use platform::Error as E;
        let not_found = (404, json!({"detail": "Not found"}));
        assert_eq!(answer(E::NotFound("app 'x'".to_owned())).await, not_found);
        assert_eq!(answer(Error::NotFound).await, not_found);
        let forbidden = json!({"detail": "You do not have permission to perform this action."});
        assert_eq!(answer(E::Forbidden).await, (403, forbidden));
        let login = json!({"non_field_errors": ["Unable to log in with provided credentials."]});
        assert_eq!(answer(E::WrongCredentials).await, (400, login));
        let disabled = json!({"non_field_errors": ["User account is disabled."]});
        assert_eq!(answer(E::Disabled).await, (400, disabled));
        let throttled = json!({"detail": "Request was throttled. Expected available in 2 seconds."});
        assert_eq!(answer(E::Throttled(Duration::from_millis(1001))).await, (429, throttled));
        assert_eq!(answer(E::Taken { field: "id" }).await, (400, json!({"id": ["This field must be unique."]})));
        let method = json!({"detail": "Method 'PUT' not allowed."});
        assert_eq!(answer(Error::MethodNotAllowed(Method::PUT)).await, (405, method));
        let media = json!({"detail": "Unsupported media type 'text/plain' in request."});
        assert_eq!(answer(Error::UnsupportedMediaType("text/plain".to_owned())).await, (415, media));
        let text = "Client and server versions do not match. Client version: 99 Server version: 1";
        assert_eq!(answer(Error::ClientVersion("99".to_owned())).await, (405, json!({"error": text})));
        assert_eq!(answer(Error::TooLarge).await.0, 413);
        assert_eq!(answer(Error::TooSlow).await.0, 408);
    }

    #[tokio::test]
    async fn an_internal_error_says_nothing_about_itself() {
        let (status, body) = answer(platform::Error::Internal(anyhow::anyhow!("secret path"))).await;
        assert_eq!(status, 500);
        assert!(!body.to_string().contains("secret"), "{body}");
    }

    #[test]
    fn a_refused_token_names_the_scheme() {
        let response = Error::Unauthenticated("Invalid token").into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Token");
    }
}
