//! Containers, as Deis calls instances (spec §8).

use std::future::ready;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::error::Error;
use super::page::{PageOf, Paging, cut};
use super::path::{AppInPath, InPath};
use super::wire;
use crate::model::ProcessType;
use crate::platform::{AppHandle, Platform};

/// The path's `{type}`.
#[derive(Deserialize)]
pub(super) struct OfType {
    pub(super) r#type: String,
}

/// The path's `{type}` and `{num}`.
#[derive(Deserialize)]
pub(super) struct Named {
    pub(super) r#type: String,
    pub(super) num: u32,
}

fn is_of_one_offs(process: &str) -> bool {
    process == ProcessType::run().as_str()
}

/// List containers
///
/// Oldest first, without one-off ones.
///
/// Client: `deis ps`, `deis info`, `deis scale`
#[utoipa::path(
    get, path = "/apps/{app}/containers", tag = "containers",
    responses((status = 200, description = "The containers.", body = PageOf<wire::Container>))
)]
pub(super) async fn list(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    paging: Paging,
) -> Result<Json<PageOf<wire::Container>>, Error> {
    let views = platform.instances(&handle).await?;
    paging.of(|page| ready(Ok(cut(&views, page))), |view| wire::Container::new(handle.app(), view)).await
}

/// List containers of a type
///
/// A type that nobody runs has an empty list. Type `run` has the one-off commands that run now, even if the Procfile declares a
/// type of that name.
#[utoipa::path(
    get, path = "/apps/{app}/containers/{type}", tag = "containers",
    responses((status = 200, description = "The containers.", body = PageOf<wire::Container>))
)]
pub(super) async fn list_of_type(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    InPath(wanted): InPath<OfType>,
    paging: Paging,
) -> Result<Json<PageOf<wire::Container>>, Error> {
    of_type(&platform, &handle, &wanted.r#type, paging).await
}

/// List containers of type `restart`
///
/// The type of that name, whose path a POST uses for something else.
#[utoipa::path(
    get, path = "/apps/{app}/containers/restart", tag = "containers",
    responses((status = 200, description = "The containers.", body = PageOf<wire::Container>))
)]
pub(super) async fn list_of_type_restart(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    paging: Paging,
) -> Result<Json<PageOf<wire::Container>>, Error> {
    of_type(&platform, &handle, "restart", paging).await
}

async fn of_type(
    platform: &Platform,
    handle: &AppHandle,
    wanted: &str,
    paging: Paging,
) -> Result<Json<PageOf<wire::Container>>, Error> {
    if is_of_one_offs(wanted) {
        let one_offs = platform.one_offs(handle);
        return paging
            .of(|page| ready(Ok(cut(&one_offs, page))), |one_off| wire::Container::one_off(handle.app(), &one_off))
            .await;
    }
    let mut views = platform.instances(handle).await?;
    views.retain(|view| view.instance.process.as_str() == wanted);
    paging.of(|page| ready(Ok(cut(&views, page))), |view| wire::Container::new(handle.app(), view)).await
}

/// Show a container
#[utoipa::path(
    get, path = "/apps/{app}/containers/{type}/{num}", tag = "containers",
    responses((status = 200, description = "The container.", body = wire::Container))
)]
pub(super) async fn show(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    InPath(wanted): InPath<Named>,
) -> Result<Json<wire::Container>, Error> {
    if is_of_one_offs(&wanted.r#type) {
        let found = platform.one_offs(&handle).into_iter().find(|one_off| one_off.number == wanted.num);
        return Ok(Json(wire::Container::one_off(handle.app(), &found.ok_or(Error::NotFound)?)));
    }
    let views = platform.instances(&handle).await?;
    let found = views
        .into_iter()
        .find(|view| view.instance.process.as_str() == wanted.r#type && view.instance.number == wanted.num);
    Ok(Json(wire::Container::new(handle.app(), found.ok_or(Error::NotFound)?)))
}
