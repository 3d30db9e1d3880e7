//! Builds (spec §6).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::Value;

use super::body::{Fields, Problem, Problems};
use super::error::Error;
use super::page::{PageOf, Paging};
use super::path::AppInPath;
use super::{headers, wire};
use crate::model::Procfile;
use crate::platform::Platform;

/// Longest image reference.
const IMAGE_MAX: usize = 256;

/// `GET /apps/<app>/builds`
pub(super) async fn list(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    paging: Paging,
) -> Result<Json<PageOf<wire::Build>>, Error> {
    let found = platform.builds(&handle, paging.window()).await?;
    paging.of(found, |build| wire::Build::new(handle.app(), build))
}

/// `POST /apps/<app>/builds`: an image and, if it needs one, a Procfile. The fields by which the original's own builder
/// reported a push (`sha`, `dockerfile`) are not read: pushes do not come this way.
pub(super) async fn create(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    fields: Fields,
) -> Result<impl IntoResponse, Error> {
    let mut problems = Problems::default();
    let image = problems.noted(fields.required("image", IMAGE_MAX));
    let procfile = problems.noted(procfile(&fields));
    problems.into_result()?;
    let (build, release) = platform.deploy_image(&handle, &image, procfile).await?;
    let body = wire::Build::new(handle.app(), build);
    Ok((StatusCode::CREATED, headers::release(release.version), Json(body)))
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
