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

/// Restart all containers
///
/// New ones are started and take over before the old ones are stopped (API 1.3).
///
/// Client: `deis ps:restart`
#[utoipa::path(
    post, path = "/apps/{app}/containers/restart", tag = "containers", operation_id = "restart_all",
    responses((status = 200, description = "The new containers.", body = Vec<wire::Container>))
)]
pub(super) async fn all(State(platform): State<Platform>, AppInPath(handle): AppInPath) -> Result<Containers, Error> {
    restart(&platform, &handle, Which::All).await
}

/// Restart the containers of a type
///
/// Client: `deis ps:restart web`
#[utoipa::path(
    post, path = "/apps/{app}/containers/{type}/restart", tag = "containers", operation_id = "restart_of_type",
    responses((status = 200, description = "The new containers.", body = Vec<wire::Container>))
)]
pub(super) async fn of_type(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    InPath(wanted): InPath<OfType>,
) -> Result<Containers, Error> {
    restart(&platform, &handle, Which::OfType(process(&wanted.r#type)?)).await
}

/// Restart a container
///
/// Client: `deis ps:restart web.1`
#[utoipa::path(
    post, path = "/apps/{app}/containers/{type}/{num}/restart", tag = "containers", operation_id = "restart_one",
    responses((status = 200, description = "The new container.", body = Vec<wire::Container>))
)]
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
