//! Sharing and administrators (spec §14), and the list of users (spec §23).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::auth::Caller;
use super::body::Fields;
use super::error::Error;
use super::page::{PageOf, Paging};
use super::path::{AppInPath, InPath, OwnAppInPath};
use super::wire;
use crate::model::USERNAME_MAX;
use crate::platform::Platform;

/// The path's last part, a user's name.
#[derive(Deserialize)]
pub(super) struct Named {
    username: String,
}

/// `GET /apps/<app>/perms`
pub(super) async fn list(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
) -> Result<Json<wire::Collaborators>, Error> {
    let users = platform.collaborators(&handle).await?;
    Ok(Json(wire::Collaborators { users: users.iter().map(ToString::to_string).collect() }))
}

/// `POST /apps/<app>/perms`
pub(super) async fn share(
    State(platform): State<Platform>,
    OwnAppInPath(handle): OwnAppInPath,
    fields: Fields,
) -> Result<StatusCode, Error> {
    platform.share(&handle, &fields.required("username", USERNAME_MAX)?).await?;
    Ok(StatusCode::CREATED)
}

/// `DELETE /apps/<app>/perms/<user>`
pub(super) async fn unshare(
    State(platform): State<Platform>,
    OwnAppInPath(handle): OwnAppInPath,
    InPath(Named { username }): InPath<Named>,
) -> Result<StatusCode, Error> {
    platform.unshare(&handle, &username).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /admin/perms`
pub(super) async fn list_administrators(
    State(platform): State<Platform>,
    Caller(user): Caller,
    paging: Paging,
) -> Result<Json<PageOf<wire::Administrator>>, Error> {
    let by = platform.administrator(&user)?;
    paging.of(|page| platform.administrators(&by, page), wire::Administrator::from).await
}

/// `POST /admin/perms`
pub(super) async fn add_administrator(
    State(platform): State<Platform>,
    Caller(user): Caller,
    fields: Fields,
) -> Result<StatusCode, Error> {
    let by = platform.administrator(&user)?;
    platform.set_administrator(&by, &fields.required("username", USERNAME_MAX)?, true).await?;
    Ok(StatusCode::CREATED)
}

/// `DELETE /admin/perms/<user>`
pub(super) async fn remove_administrator(
    State(platform): State<Platform>,
    Caller(user): Caller,
    InPath(Named { username }): InPath<Named>,
) -> Result<StatusCode, Error> {
    let by = platform.administrator(&user)?;
    platform.set_administrator(&by, &username, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /users`
pub(super) async fn list_users(
    State(platform): State<Platform>,
    Caller(user): Caller,
    paging: Paging,
) -> Result<Json<PageOf<wire::User>>, Error> {
    let by = platform.administrator(&user)?;
    paging.of(|page| platform.users(&by, page), wire::User::from).await
}
