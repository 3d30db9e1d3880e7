//! Containers, as Deis calls instances (spec §8).

use std::future::ready;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::error::Error;
use super::page::{PageOf, Paging, cut};
use super::path::{AppInPath, InPath};
use super::wire;
use crate::platform::Platform;

/// The path's `{type}`.
#[derive(Deserialize)]
pub(super) struct OfType {
    r#type: String,
}

/// The path's `{type}` and `{num}`.
#[derive(Deserialize)]
pub(super) struct Named {
    r#type: String,
    num: u32,
}

/// `GET /apps/<app>/containers`
pub(super) async fn list(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    paging: Paging,
) -> Result<Json<PageOf<wire::Container>>, Error> {
    let views = platform.instances(&handle).await?;
    paging.of(|page| ready(Ok(cut(&views, page))), |view| wire::Container::new(handle.app(), view)).await
}

/// `GET /apps/<app>/containers/<type>`. A type that nobody runs has an empty list.
pub(super) async fn list_of_type(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    InPath(wanted): InPath<OfType>,
    paging: Paging,
) -> Result<Json<PageOf<wire::Container>>, Error> {
    let mut views = platform.instances(&handle).await?;
    views.retain(|view| view.instance.process.as_str() == wanted.r#type);
    paging.of(|page| ready(Ok(cut(&views, page))), |view| wire::Container::new(handle.app(), view)).await
}

/// `GET /apps/<app>/containers/<type>/<num>`
pub(super) async fn show(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    InPath(wanted): InPath<Named>,
) -> Result<Json<wire::Container>, Error> {
    let views = platform.instances(&handle).await?;
    let found = views
        .into_iter()
        .find(|view| view.instance.process.as_str() == wanted.r#type && view.instance.number == wanted.num);
    Ok(Json(wire::Container::new(handle.app(), found.ok_or(Error::NotFound)?)))
}
