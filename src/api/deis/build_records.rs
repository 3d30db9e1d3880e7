//! Attempts to build: what the builds of the specification leave out, the failed ones among them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Deserialize;

use super::error::Error;
use super::page::{PageOf, Paging};
use super::path::{AppInPath, InPath};
use super::wire;
use crate::model::BuildId;
use crate::platform::Platform;

/// List attempts to build
///
/// Newest first; those that failed and those that go on, too.
#[utoipa::path(
    get, path = "/apps/{app}/build-records", tag = "build-records",
    responses((status = 200, description = "The records.", body = PageOf<wire::BuildRecord>))
)]
pub(super) async fn list(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    paging: Paging,
) -> Result<Json<PageOf<wire::BuildRecord>>, Error> {
    let shape = |record| wire::BuildRecord::new(handle.app(), record);
    paging.of(|page| platform.build_records(&handle, page), shape).await
}

/// The part of the path that is a build's id.
#[derive(Deserialize)]
pub(super) struct Named {
    uuid: String,
}

impl Named {
    fn id(&self) -> Result<BuildId, Error> {
        self.uuid.parse().map_err(|_| Error::NotFound)
    }
}

/// Show an attempt to build
#[utoipa::path(
    get, path = "/apps/{app}/build-records/{uuid}", tag = "build-records",
    responses((status = 200, description = "The record.", body = wire::BuildRecord))
)]
pub(super) async fn show(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    InPath(named): InPath<Named>,
) -> Result<Json<wire::BuildRecord>, Error> {
    let record = platform.build_record(&handle, named.id()?).await?;
    Ok(Json(wire::BuildRecord::new(handle.app(), record)))
}

/// Read a build's log
///
/// What the pusher saw, as far as it has come; at most 8 MiB. Bytes that are no UTF-8 are replaced.
#[utoipa::path(
    get, path = "/apps/{app}/build-records/{uuid}/log", tag = "build-records",
    responses((
        status = 200, description = "The log.", body = String, content_type = "text/plain",
        example = json!("-----> Python app detected\n")
    ))
)]
pub(super) async fn log(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    InPath(named): InPath<Named>,
) -> Result<impl IntoResponse, Error> {
    let log = platform.build_log(&handle, named.id()?).await?;
    let text = String::from_utf8_lossy(&log).into_owned();
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text))
}

/// Cancel a build
///
/// Ends what goes on: its containers are gone some seconds later, and the pusher is told. A build whose release is cut already
/// is no longer cancelled.
#[utoipa::path(
    delete, path = "/apps/{app}/build-records/{uuid}", tag = "build-records",
    responses((status = 204, description = "It is called off."), (status = 409))
)]
pub(super) async fn cancel(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    InPath(named): InPath<Named>,
) -> Result<StatusCode, Error> {
    platform.cancel_build(&handle, named.id()?).await?;
    Ok(StatusCode::NO_CONTENT)
}
