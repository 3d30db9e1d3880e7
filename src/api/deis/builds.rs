//! Builds (spec §6).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Fields, Problem, Problems};
use super::error::Error;
use super::openapi::fields::{ANY_TEXT, Field, Member, body, map, text};
use super::page::{PageOf, Paging};
use super::path::{AppInPath, InPath};
use super::{headers, wire};
use crate::model::Procfile;
use crate::platform::{BuiltImage, Platform};

/// Longest image reference.
pub(super) const IMAGE_MAX: usize = 256;
/// Longest commit id.
const SHA_MAX: usize = 40;
/// What an image's name is made of.
pub(super) const IMAGE: &str = "^[A-Za-z0-9][A-Za-z0-9._/:@-]*$";
/// What a commit id is made of.
pub(super) const COMMIT: &str = "^[A-Za-z0-9]*$";

body! {
    /// An image to deploy.
    NewBuild:
        text("image").required().max(IMAGE_MAX).pattern(IMAGE).says("The image's name; without a tag it is `latest`.").example("example/hello:1.0"),
        map("procfile", &Member::command()).says("The command of each process type. Without it the image's own command runs as `cmd`.")
            .example(json!({"web": "python -m http.server 5000"})),
        text("sha").max(SHA_MAX).pattern(COMMIT).says("The commit that a builder made it of."),
        dockerfile_field(),
}

/// The field that builders send.
pub(super) fn dockerfile_field() -> Field {
    let text = json!({"type": "string", "pattern": ANY_TEXT});
    let field = Field::new("dockerfile", json!({"anyOf": [{"type": "boolean"}, text]}));
    field.says("The Dockerfile's text, or whether there was one.")
}

/// List builds
///
/// Newest first.
///
/// Client: `deis builds:list`
#[utoipa::path(
    get, path = "/apps/{app}/builds", tag = "builds",
    responses((status = 200, description = "The builds.", body = PageOf<wire::Build>))
)]
pub(super) async fn list(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    paging: Paging,
) -> Result<Json<PageOf<wire::Build>>, Error> {
    let shape = |build| wire::Build::new(handle.app(), build);
    paging.of(|page| platform.builds(&handle, page), shape).await
}

/// The path's last part, a build's id.
#[derive(Deserialize)]
pub(super) struct Named {
    uuid: String,
}

/// Show a build
#[utoipa::path(
    get, path = "/apps/{app}/builds/{uuid}", tag = "builds",
    responses((status = 200, description = "The build.", body = wire::Build))
)]
pub(super) async fn show(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    InPath(Named { uuid }): InPath<Named>,
) -> Result<Json<wire::Build>, Error> {
    let id = uuid.parse().map_err(|_| Error::NotFound)?;
    let build = platform.build_of(&handle, id).await?;
    Ok(Json(wire::Build::new(handle.app(), build)))
}

/// Deploy an image
///
/// Fetches the image, makes a release of it with the present config and rolls it out. The first deploy starts one container of
/// type `cmd`. A builder adds `sha` and `dockerfile`.
///
/// Client: `deis pull`, `deis builds:create`
#[utoipa::path(
    post, path = "/apps/{app}/builds", tag = "builds", request_body = NewBuild,
    responses((
        status = 201, description = "The build; its release is up.", body = wire::Build,
        headers(
            ("X-Deis-Release" = i64, description = "the number of the new release."),
            ("Deis-Release" = i64, description = "the same number, for clients from 1.7."),
        )
    ))
)]
pub(super) async fn create(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    fields: Fields,
) -> Result<impl IntoResponse, Error> {
    let (build, release) = platform.deploy_image(&handle, image(&fields)?).await?;
    let body = wire::Build::new(handle.app(), build);
    Ok((StatusCode::CREATED, headers::release(release.version), Json(body)))
}

/// The image that a body describes.
pub(super) fn image(fields: &Fields) -> Result<BuiltImage, Error> {
    let mut problems = Problems::default();
    let built = BuiltImage {
        image: problems.noted(fields.required("image", IMAGE_MAX)),
        sha: problems.noted(fields.optional("sha", SHA_MAX)).unwrap_or_default(),
        procfile: problems.noted(procfile(fields)),
        dockerfile: problems.noted(dockerfile(fields)),
    };
    problems.into_result()?;
    Ok(built)
}

/// The file's text, or whether there was one: that is what Deis's own builders send.
fn dockerfile(fields: &Fields) -> Result<String, Problem> {
    if let Some(Value::Bool(was_there)) = fields.value("dockerfile") {
        return Ok(if *was_there { "true".to_owned() } else { String::new() });
    }
    let text = fields.optional("dockerfile", usize::MAX)?.unwrap_or_default();
    Ok(if text == "false" { String::new() } else { text })
}

fn procfile(fields: &Fields) -> Result<Procfile, Problem> {
    let problem = |text: String| Problem::new("procfile", text);
    let entry = |(name, command): (String, Value)| {
        let process = name.parse().map_err(|why| problem(format!("{why}.")))?;
        match command {
            Value::String(command) if !command.trim().is_empty() && !command.contains('\0') => Ok((process, command)),
            _ => Err(problem(format!("The command of {name} must be text."))),
        }
    };
    fields.map("procfile")?.unwrap_or_default().into_iter().map(entry).collect()
}
