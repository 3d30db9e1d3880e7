//! Hooks for a builder of the operator's own (spec §15). Pushes to Slipway's own SSH server do not come this way.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::auth;
use super::body::{Fields, Problems};
use super::error::Error;
use super::openapi::fields::{Member, body, map, text};
use super::{builds, wire};
use crate::model::PushReport;
use crate::platform::{self, AppHandle, Platform};

/// What the builder proves itself with.
const BUILDER_AUTH: &str = "x-deis-builder-auth";
/// Longest commit id.
const SHA_MAX: usize = 40;
/// Longest value of any other field.
const TEXT_MAX: usize = 255;

body! {
    /// A push, as the builder saw it.
    ReportedPush:
        text("receive_user").required().max(TEXT_MAX).says("Who pushes.").example("bob"),
        text("receive_repo").required().max(TEXT_MAX).says("The app's name.").example("hello"),
        text("sha").required().max(SHA_MAX).says("The commit.").example("060da68f"),
        text("fingerprint").required().max(TEXT_MAX).says("That of the key.")
            .example("c8:0b:5d:3e:5a:1f:0e:2b:7d:8c:9a:4f:6e:1d:2c:3b"),
        text("ssh_connection").required().max(TEXT_MAX).example("192.0.2.1 50337 192.0.2.2 2222"),
        text("ssh_original_command").required().max(TEXT_MAX).example("git-receive-pack 'hello.git'"),
}

body! {
    /// Who pushes to which app.
    PushedApp:
        text("receive_user").required().max(TEXT_MAX).says("Who pushes.").example("bob"),
        text("receive_repo").required().max(TEXT_MAX).says("The app's name.").example("hello"),
}

body! {
    /// What the builder made of a push.
    ReportedBuild:
        text("receive_user").required().max(TEXT_MAX).says("Who pushes.").example("bob"),
        text("receive_repo").required().max(TEXT_MAX).says("The app's name.").example("hello"),
        text("image").required().max(builds::IMAGE_MAX).pattern(builds::IMAGE).says("The image's name.").example("hello"),
        text("sha").max(SHA_MAX).pattern(builds::COMMIT).says("The commit.").example("060da68f"),
        map("procfile", &Member::command()).says("The command of each process type.")
            .example(json!({"web": "node server.js"})),
        builds::dockerfile_field(),
}

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

/// Report a push
///
/// The push is only noted; the build is reported next.
#[utoipa::path(
    post, path = "/hooks/push", tag = "hooks", request_body = ReportedPush,
    responses((status = 201, description = "The push.", body = wire::Push))
)]
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

/// Ask for config
///
/// That of the latest release of the app that is pushed to.
#[utoipa::path(
    post, path = "/hooks/config", tag = "hooks", request_body = PushedApp,
    responses((status = 200, description = "The config.", body = wire::Config))
)]
pub(super) async fn config(State(platform): State<Platform>, fields: Fields) -> Result<Json<wire::Config>, Error> {
    let handle = pushed(&platform, &fields).await?;
    let config = platform.config(&handle).await?;
    Ok(Json(wire::Config::new(handle.app(), config)))
}

/// Report a build
///
/// Makes a release of the image and rolls it out. It is answered 200 only once the release serves.
#[utoipa::path(
    post, path = "/hooks/build", tag = "hooks", request_body = ReportedBuild,
    responses((status = 200, description = "The release, and where it answers.", body = wire::Built), (status = 503))
)]
pub(super) async fn build(State(platform): State<Platform>, fields: Fields) -> Result<Json<wire::Built>, Error> {
    let handle = pushed(&platform, &fields).await?;
    let (_, release) = platform.deploy_image(&handle, builds::image(&fields)?).await?;
    let host = platform.app_view(&handle).await?.host;
    Ok(Json(wire::Built { release: wire::Version { version: release.version }, domains: [host] }))
}

/// Report a build, the other way to write it
///
/// The same under the path that the documents of Deis name.
#[utoipa::path(
    post, path = "/hooks/builds", tag = "hooks", request_body = ReportedBuild,
    responses((status = 200, description = "The release, and where it answers.", body = wire::Built), (status = 503))
)]
pub(super) async fn build_as_documented(platform: State<Platform>, fields: Fields) -> Result<Json<wire::Built>, Error> {
    build(platform, fields).await
}

async fn pushed(platform: &Platform, fields: &Fields) -> Result<AppHandle, Error> {
    let mut problems = Problems::default();
    let user = problems.noted(fields.required("receive_user", TEXT_MAX));
    let repo = problems.noted(fields.required("receive_repo", TEXT_MAX));
    problems.into_result()?;
    Ok(platform.pushed_app(&user, &repo).await?)
}
