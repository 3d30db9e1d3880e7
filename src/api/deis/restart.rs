//! Restarts, as API 1.3 has them (spec §23). Each answers with a plain list of the containers concerned.

use axum::Json;
use axum::extract::State;

use super::containers::{Named, OfType};
use super::error::Error;
use super::path::{AppInPath, InPath};
use super::wire;
use crate::model::ProcessType;
use crate::platform::{AppHandle, Platform, Which};

type Containers = Json<Vec<wire::Container>>;

/// `POST /apps/<app>/containers/restart`
pub(super) async fn all(State(platform): State<Platform>, AppInPath(handle): AppInPath) -> Result<Containers, Error> {
    restart(&platform, &handle, Which::All).await
}

/// `POST /apps/<app>/containers/<type>/restart`
pub(super) async fn of_type(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    InPath(wanted): InPath<OfType>,
) -> Result<Containers, Error> {
    restart(&platform, &handle, Which::OfType(process(&wanted.r#type)?)).await
}

/// `POST /apps/<app>/containers/<type>/<num>/restart`
pub(super) async fn one(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    InPath(wanted): InPath<Named>,
) -> Result<Containers, Error> {
    restart(&platform, &handle, Which::One(process(&wanted.r#type)?, wanted.num)).await
}

/// What cannot be a process type names none.
fn process(text: &str) -> Result<ProcessType, Error> {
    text.parse().map_err(|_| Error::NotFound)
}

async fn restart(platform: &Platform, handle: &AppHandle, which: Which) -> Result<Containers, Error> {
    let views = platform.restart(handle, which).await?;
    Ok(Json(views.into_iter().map(|view| wire::Container::new(handle.app(), view)).collect()))
}
