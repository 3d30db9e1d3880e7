//! Builds (spec §6).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::Value;

use super::body::{Fields, Problem, Problems};
use super::error::Error;
use super::page::{PageOf, Paging};
use super::path::{AppInPath, InPath};
use super::{headers, wire};
use crate::model::Procfile;
use crate::platform::{BuiltImage, Platform};

/// Longest image reference.
const IMAGE_MAX: usize = 256;
/// Longest commit id.
const SHA_MAX: usize = 40;

/// `GET /apps/<app>/builds`
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

/// `GET /apps/<app>/builds/<uuid>`
pub(super) async fn show(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    InPath(Named { uuid }): InPath<Named>,
) -> Result<Json<wire::Build>, Error> {
    let id = uuid.parse().map_err(|_| Error::NotFound)?;
    let build = platform.build_of(&handle, id).await?;
    Ok(Json(wire::Build::new(handle.app(), build)))
}

/// `POST /apps/<app>/builds`: an image and, if it needs one, a Procfile; a builder adds `sha` and `dockerfile`.
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
