//! Reading the bytes of a body, within the bounds that hold for every door. Each door says it in its own shape.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use tokio::time::timeout;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Why there are no bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// They did not arrive in time.
    TooSlow,
    /// There are more than [`BODY_MAX`](super::BODY_MAX).
    TooLarge,
    /// The client went away before the end.
    CutShort,
}

/// All bytes of a request's body.
pub(super) async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Unread> {
    let bytes = timeout(BODY_TIMEOUT, Bytes::from_request(request, state)).await.map_err(|_| Unread::TooSlow)?;
    bytes.map_err(|rejection| match rejection.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => Unread::TooLarge,
        _ => Unread::CutShort,
    })
}
