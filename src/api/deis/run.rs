//! One-off commands (spec §9).

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::body::{Fields, Problem};
use super::error::Error;
use super::path::AppInPath;
use crate::api::BODY_MAX;
use crate::platform::Platform;

/// `POST /apps/<app>/run`: a JSON array, although its type is text. The clients decode it whatever the type, print the
/// output and exit with the status. An empty command is one.
///
/// The answer comes with the command's end. A client that hangs up ends the command.
pub(super) async fn run(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    fields: Fields,
) -> Result<Response, Error> {
    let command = fields.optional("command", BODY_MAX)?;
    let command = command.ok_or_else(|| Problem::new("command", "This field is required."))?;
    let ran = platform.run(&handle, &command).await?;
    Ok(([(CONTENT_TYPE, "text/plain")], json!([ran.status, ran.output]).to_string()).into_response())
}
