//! SSH keys (spec §13).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::auth::Caller;
use super::body::{Fields, Problems};
use super::error::Error;
use super::page::{PageOf, Paging};
use super::path::InPath;
use super::wire;
use crate::platform::Platform;

/// Longest id of a key.
const ID_MAX: usize = 128;

/// `GET /keys`
pub(super) async fn list(
    State(platform): State<Platform>,
    Caller(user): Caller,
    paging: Paging,
) -> Result<Json<PageOf<wire::Key>>, Error> {
    paging.of(|page| platform.ssh_keys(&user, page), wire::Key::from).await
}

/// `POST /keys`
pub(super) async fn add(
    State(platform): State<Platform>,
    Caller(user): Caller,
    fields: Fields,
) -> Result<(StatusCode, Json<wire::Key>), Error> {
    let mut problems = Problems::default();
    let id = problems.noted(fields.required("id", ID_MAX));
    let public = problems.noted(fields.required("public", usize::MAX));
    problems.into_result()?;
    if id.ends_with('/') {
        // Its path would be another key's: a trailing slash means nothing in a path.
        return Err(Error::field("id", "A key id may not end with a slash."));
    }
    let key = platform.add_ssh_key(&user, &id, &public).await?;
    Ok((StatusCode::CREATED, Json(key.into())))
}

/// `GET /keys/<id>`
pub(super) async fn show(
    State(platform): State<Platform>,
    Caller(user): Caller,
    InPath(id): InPath<String>,
) -> Result<Json<wire::Key>, Error> {
    Ok(Json(platform.ssh_key(&user, without_nul(&id)?).await?.into()))
}

/// `DELETE /keys/<id>`
pub(super) async fn remove(
    State(platform): State<Platform>,
    Caller(user): Caller,
    InPath(id): InPath<String>,
) -> Result<StatusCode, Error> {
    platform.remove_ssh_key(&user, without_nul(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// No key has a NUL in its id, and PostgreSQL takes no such text.
fn without_nul(id: &str) -> Result<&str, Error> {
    if id.contains('\0') { Err(Error::NotFound) } else { Ok(id) }
}
