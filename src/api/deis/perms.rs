//! Sharing and administrators (spec §14), and the list of users (spec §23).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::auth::Caller;
use super::body::Fields;
use super::error::Error;
use super::openapi::fields::{body, text};
use super::page::{PageOf, Paging};
use super::path::{AppInPath, InPath, OwnAppInPath};
use super::wire;
use crate::model::USERNAME_MAX;
use crate::platform::Platform;

body! {
    /// An account.
    Somebody:
        text("username").required().max(USERNAME_MAX).says("The account's name.").example("carol"),
}

/// The path's last part, a user's name.
#[derive(Deserialize)]
pub(super) struct Named {
    username: String,
}

/// List collaborators
///
/// The names of those with whom the app is shared, without its owner.
///
/// Client: `deis perms:list`
#[utoipa::path(
    get, path = "/apps/{app}/perms", tag = "perms",
    responses((status = 200, description = "The names.", body = wire::Collaborators))
)]
pub(super) async fn list(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
) -> Result<Json<wire::Collaborators>, Error> {
    let users = platform.collaborators(&handle).await?;
    Ok(Json(wire::Collaborators { users: users.iter().map(ToString::to_string).collect() }))
}

/// Share an app
///
/// The collaborator may do everything with it but delete, share and give it away. Sharing it again changes nothing.
///
/// Client: `deis perms:create`
#[utoipa::path(
    post, path = "/apps/{app}/perms", tag = "perms", request_body = Somebody,
    responses((status = 201, description = "It is shared."))
)]
pub(super) async fn share(
    State(platform): State<Platform>,
    OwnAppInPath(handle): OwnAppInPath,
    fields: Fields,
) -> Result<StatusCode, Error> {
    platform.share(&handle, &fields.required("username", USERNAME_MAX)?).await?;
    Ok(StatusCode::CREATED)
}

/// Stop sharing an app
///
/// Client: `deis perms:delete`
#[utoipa::path(
    delete, path = "/apps/{app}/perms/{username}", tag = "perms",
    responses((status = 204, description = "It is not shared with them any more."))
)]
pub(super) async fn unshare(
    State(platform): State<Platform>,
    OwnAppInPath(handle): OwnAppInPath,
    InPath(Named { username }): InPath<Named>,
) -> Result<StatusCode, Error> {
    platform.unshare(&handle, &username).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List administrators
///
/// Client: `deis perms:list --admin`
#[utoipa::path(
    get, path = "/admin/perms", tag = "perms",
    responses((status = 200, description = "The administrators.", body = PageOf<wire::Administrator>))
)]
pub(super) async fn list_administrators(
    State(platform): State<Platform>,
    Caller(user): Caller,
    paging: Paging,
) -> Result<Json<PageOf<wire::Administrator>>, Error> {
    let by = platform.administrator(&user)?;
    paging.of(|page| platform.administrators(&by, page), wire::Administrator::from).await
}

/// Make an administrator
///
/// Client: `deis perms:create --admin`
#[utoipa::path(
    post, path = "/admin/perms", tag = "perms", request_body = Somebody,
    responses((status = 201, description = "The account is an administrator's."), (status = 404))
)]
pub(super) async fn add_administrator(
    State(platform): State<Platform>,
    Caller(user): Caller,
    fields: Fields,
) -> Result<StatusCode, Error> {
    let by = platform.administrator(&user)?;
    platform.set_administrator(&by, &fields.required("username", USERNAME_MAX)?, true).await?;
    Ok(StatusCode::CREATED)
}

/// Unmake an administrator
///
/// Client: `deis perms:delete --admin`
#[utoipa::path(
    delete, path = "/admin/perms/{username}", tag = "perms",
    responses((status = 204, description = "The account is an ordinary one."), (status = 409))
)]
pub(super) async fn remove_administrator(
    State(platform): State<Platform>,
    Caller(user): Caller,
    InPath(Named { username }): InPath<Named>,
) -> Result<StatusCode, Error> {
    let by = platform.administrator(&user)?;
    platform.set_administrator(&by, &username, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List accounts
///
/// In order of registration (API 1.3).
///
/// Client: `deis users:list`
#[utoipa::path(
    get, path = "/users", tag = "perms",
    responses((status = 200, description = "The accounts.", body = PageOf<wire::User>))
)]
pub(super) async fn list_users(
    State(platform): State<Platform>,
    Caller(user): Caller,
    paging: Paging,
) -> Result<Json<PageOf<wire::User>>, Error> {
    let by = platform.administrator(&user)?;
    paging.of(|page| platform.users(&by, page), wire::User::from).await
}
