//! SSH keys (spec §13).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::auth::Caller;
use super::body::{Fields, Problems};
use super::error::Error;
use super::openapi::fields::{body, text};
use super::page::{PageOf, Paging};
use super::path::InPath;
use super::wire;
use crate::platform::Platform;

/// Longest id of a key.
const ID_MAX: usize = 128;

body! {
    /// A key to add.
    NewKey:
        text("id").required().max(ID_MAX).pattern(r"^[^\u0000]*[^\u0000/]$")
            .says("What the caller calls it; unique among the caller's keys.").example("bob@laptop"),
        text("public").required().pattern(PUBLIC)
            .says("The line of a `.pub` file: RSA, ECDSA or Ed25519, also on a security token; or a key as RFC 4716 writes it.")
            .example("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDnPSYGGVyDEKNwGvGGjBBwxrLOwHRd8jkJYYoMBKaYF bob@laptop"),
}

/// How a public key looks; the key in it is read, too.
const PUBLIC: &str = r"^\s*((ssh-rsa|ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com) [A-Za-z0-9+/]+={0,3}( [^\u0000]*)?|---- BEGIN SSH2 PUBLIC KEY ----[^\u0000]*)\s*$";

/// List SSH keys
///
/// The caller's own, in order of creation.
///
/// Client: `deis keys:list`
#[utoipa::path(
    get, path = "/keys", tag = "keys",
    responses((status = 200, description = "The keys.", body = PageOf<wire::Key>))
)]
pub(super) async fn list(
    State(platform): State<Platform>,
    Caller(user): Caller,
    paging: Paging,
) -> Result<Json<PageOf<wire::Key>>, Error> {
    paging.of(|page| platform.ssh_keys(&user, page), wire::Key::from).await
}

/// Add an SSH key
///
/// A key belongs to one account of the server, whatever its comment. RSA keys need 2048 bits.
///
/// Client: `deis keys:add`
#[utoipa::path(
    post, path = "/keys", tag = "keys", request_body = NewKey,
    responses((status = 201, description = "The key.", body = wire::Key))
)]
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

/// Show an SSH key
#[utoipa::path(get, path = "/keys/{id}", tag = "keys", responses((status = 200, description = "The key.", body = wire::Key)))]
pub(super) async fn show(
    State(platform): State<Platform>,
    Caller(user): Caller,
    InPath(id): InPath<String>,
) -> Result<Json<wire::Key>, Error> {
    Ok(Json(platform.ssh_key(&user, without_nul(&id)?).await?.into()))
}

/// Remove an SSH key
///
/// Pushes with it are refused from now on.
///
/// Client: `deis keys:remove`
#[utoipa::path(delete, path = "/keys/{id}", tag = "keys", responses((status = 204, description = "It is gone.")))]
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
