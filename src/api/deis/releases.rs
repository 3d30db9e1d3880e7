//! Releases (spec §7).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::body::Fields;
use super::error::Error;
use super::openapi::fields::{body, whole_number};
use super::page::{PageOf, Paging};
use super::path::{AppInPath, InPath};
use super::wire;
use crate::platform::Platform;

body! {
    /// Where to roll back to. The body may be empty.
    Target:
        whole_number("version").says("The release to go back to; without one, that before the latest.").example(2),
}

/// List releases
///
/// Newest first.
///
/// Client: `deis releases:list`
#[utoipa::path(
    get, path = "/apps/{app}/releases", tag = "releases",
    responses((status = 200, description = "The releases.", body = PageOf<wire::Release>))
)]
pub(super) async fn list(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    paging: Paging,
) -> Result<Json<PageOf<wire::Release>>, Error> {
    let shape = |release| wire::Release::new(handle.app(), release);
    paging.of(|page| platform.releases(&handle, page), shape).await
}

/// The path's last part, `v<N>`.
#[derive(Deserialize)]
pub(super) struct Named {
    version: String,
}

/// Show a release
///
/// Client: `deis releases:info`
#[utoipa::path(
    get, path = "/apps/{app}/releases/{version}", tag = "releases",
    responses((status = 200, description = "The release.", body = wire::Release))
)]
pub(super) async fn show(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    InPath(Named { version }): InPath<Named>,
) -> Result<Json<wire::Release>, Error> {
    let number = version.strip_prefix('v').and_then(digits).ok_or(Error::NotFound)?;
    let release = platform.release(&handle, number).await?;
    Ok(Json(wire::Release::new(handle.app(), release)))
}

/// Roll back
///
/// Makes a new release of the build and config of an earlier one and rolls it out; nothing is built. Unlike other releases this one
/// has no `X-Deis-Release`: Deis sends none.
///
/// Client: `deis rollback`
#[utoipa::path(
    post, path = "/apps/{app}/releases/rollback", tag = "releases", request_body = Target,
    responses((status = 201, description = "The number of the new release.", body = wire::Version))
)]
pub(super) async fn rollback(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    fields: Fields,
) -> Result<(StatusCode, Json<wire::Version>), Error> {
    let release = platform.rollback(&handle, version(&fields)?).await?;
    Ok((StatusCode::CREATED, Json(wire::Version { version: release.version })))
}

/// A number, or text of digits. Without one it is the release before the latest.
fn version(fields: &Fields) -> Result<Option<i64>, Error> {
    let number = match fields.value("version") {
        None => return Ok(None),
        Some(Value::Number(number)) => {
            number.as_i64().or_else(|| super::body::digits(number).and_then(|text| text.parse().ok()))
        }
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    number.map(Some).ok_or_else(|| Error::field("version", "A valid integer is required."))
}

fn digits(text: &str) -> Option<i64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}
