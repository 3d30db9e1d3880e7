//! Hooks for a builder of the operator's own (spec §15). Pushes to Slipway's own SSH server do not come this way.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::auth;
use super::body::{Fields, Problems};
use super::error::Error;
use super::{builds, wire};
use crate::model::PushReport;
use crate::platform::{self, AppHandle, Platform};

/// What the builder proves itself with.
const BUILDER_AUTH: &str = "x-deis-builder-auth";
/// Longest commit id.
const SHA_MAX: usize = 40;
/// Longest value of any other field.
const TEXT_MAX: usize = 255;

/// Lets only the builder through. As in Deis, a user's valid token makes the refusal a 403 instead of a 401.
pub(super) async fn authenticate(State(platform): State<Platform>, request: Request, next: Next) -> Response {
    let given = request.headers().get(BUILDER_AUTH).map_or(&[][..], |value| value.as_bytes());
    if platform.builder_key().is_some_and(|key| key.is(given)) {
        return next.run(request).await;
    }
    match auth::caller(&platform, request.headers()).await {
        Ok(_) => Error::Platform(platform::Error::Forbidden).into_response(),
        Err(error) => error.into_response(),
    }
}

/// `POST /hooks/push`
pub(super) async fn push(
    State(platform): State<Platform>,
    fields: Fields,
) -> Result<(StatusCode, Json<wire::Push>), Error> {
    let mut problems = Problems::default();
    let mut text = |name, max| problems.noted(fields.required(name, max));
    let report = PushReport {
        sha: text("sha", SHA_MAX),
        fingerprint: text("fingerprint", TEXT_MAX),
        receive_user: text("receive_user", TEXT_MAX),
        receive_repo: text("receive_repo", TEXT_MAX),
        ssh_connection: text("ssh_connection", TEXT_MAX),
        ssh_original_command: text("ssh_original_command", TEXT_MAX),
    };
    problems.into_result()?;
    let handle = platform.pushed_app(&report.receive_user, &report.receive_repo).await?;
    let push = platform.record_push(&handle, &report).await?;
    Ok((StatusCode::CREATED, Json(wire::Push::new(handle.app(), report, &push))))
}

/// `POST /hooks/config`
pub(super) async fn config(State(platform): State<Platform>, fields: Fields) -> Result<Json<wire::Config>, Error> {
    let handle = pushed(&platform, &fields).await?;
    let config = platform.config(&handle).await?;
    Ok(Json(wire::Config::new(handle.app(), config)))
}

/// `POST /hooks/build`. 200 only once the new release serves.
pub(super) async fn build(State(platform): State<Platform>, fields: Fields) -> Result<Json<wire::Built>, Error> {
    let handle = pushed(&platform, &fields).await?;
    let (_, release) = platform.deploy_image(&handle, builds::image(&fields)?).await?;
    let host = platform.app_view(&handle).await?.host;
    Ok(Json(wire::Built { release: wire::Version { version: release.version }, domains: [host] }))
}

async fn pushed(platform: &Platform, fields: &Fields) -> Result<AppHandle, Error> {
    let mut problems = Problems::default();
    let user = problems.noted(fields.required("receive_user", TEXT_MAX));
    let repo = problems.noted(fields.required("receive_repo", TEXT_MAX));
    problems.into_result()?;
    Ok(platform.pushed_app(&user, &repo).await?)
}
