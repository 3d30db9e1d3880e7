//! Releases (spec §7).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::body::Fields;
use super::error::Error;
use super::page::{PageOf, Paging};
use super::path::{AppInPath, InPath};
use super::wire;
use crate::platform::Platform;

/// `GET /apps/<app>/releases`
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

/// `GET /apps/<app>/releases/v<N>`
pub(super) async fn show(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    InPath(Named { version }): InPath<Named>,
) -> Result<Json<wire::Release>, Error> {
    let number = version.strip_prefix('v').and_then(digits).ok_or(Error::NotFound)?;
    let release = platform.release(&handle, number).await?;
    Ok(Json(wire::Release::new(handle.app(), release)))
}

/// `POST /apps/<app>/releases/rollback`. Unlike other releases this one has no header: Deis sends none.
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
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    number.map(Some).ok_or_else(|| Error::field("version", "A valid integer is required."))
}

fn digits(text: &str) -> Option<i64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}
