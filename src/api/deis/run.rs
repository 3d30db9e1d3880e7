//! One-off commands (spec §9).

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::body::{Fields, Problem};
use super::error::Error;
use super::openapi::fields::{self, body, text};
use super::path::AppInPath;
use crate::api::BODY_MAX;
use crate::platform::Platform;

body! {
    /// What to run.
    Command:
        text("command").needed().max(BODY_MAX).says("Goes to a shell, and may be empty.").example("echo hello"),
}

/// Exit status and output.
pub(super) enum Ran {}

impl PartialSchema for Ran {
    fn schema() -> RefOr<Schema> {
        fields::raw(json!({
            "type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2,
            "description": "The exit status, then what the command wrote to its standard output and error.",
        }))
    }
}

impl ToSchema for Ran {}

/// Run a command
///
/// In a fresh container of the latest release, with its environment. The answer comes with the command's end: its exit status and
/// what it wrote, as a JSON array although the type is text. A client that hangs up ends the command.
///
/// Client: `deis run`
#[utoipa::path(
    post, path = "/apps/{app}/run", tag = "run", request_body = Command,
    responses((
        status = 200, description = "The exit status and the output.", body = Ran, content_type = "text/plain",
        example = json!([0, "hello\n"])
    ))
)]
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
