//! Apps (spec §4).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::auth::Caller;
use super::body::Fields;
use super::error::Error;
use super::openapi::fields::{APP_NAME, body, text};
use super::page::{PageOf, Paging};
use super::path::{AppInPath, OwnAppInPath};
use super::wire;
use crate::model::{APP_NAME_MAX, AppName, InvalidAppName, USERNAME_MAX};
use crate::platform::Platform;

body! {
    /// An app to create. The body may be empty.
    NewApp:
        text("id").not_blank().max(APP_NAME_MAX).pattern(APP_NAME)
            .says("The app's name and host label, unique on the server; `deis` and `slipway` are reserved. \
                   Without one the server makes up two words.")
            .example("hello"),
}

body! {
    /// Who gets an app.
    NewOwner:
        text("owner").required().max(USERNAME_MAX).says("The account's name.").example("carol"),
}

/// List apps
///
/// The caller's own and those shared with the caller; administrators see all.
///
/// Client: `deis apps:list`
#[utoipa::path(
    get, path = "/apps", tag = "apps",
    responses((status = 200, description = "The apps, in order of creation.", body = PageOf<wire::App>))
)]
pub(super) async fn list(
    State(platform): State<Platform>,
    Caller(user): Caller,
    paging: Paging,
) -> Result<Json<PageOf<wire::App>>, Error> {
    paging.of(|page| platform.apps(&user, page), wire::App::from).await
}

/// Create an app
///
/// It begins with release v1: an empty config and no build. Deis takes a `structure` too and makes nothing of it; so do we.
///
/// Client: `deis create`
#[utoipa::path(
    post, path = "/apps", tag = "apps", request_body = NewApp,
    responses((status = 201, description = "The app.", body = wire::App))
)]
pub(super) async fn create(
    State(platform): State<Platform>,
    Caller(user): Caller,
    fields: Fields,
) -> Result<(StatusCode, Json<wire::App>), Error> {
    let app = platform.create_app(&user, name(&fields)?).await?;
    Ok((StatusCode::CREATED, Json(app.into())))
}

/// Show an app
///
/// Client: `deis info`, `deis open`
#[utoipa::path(get, path = "/apps/{app}", tag = "apps", responses((status = 200, description = "The app.", body = wire::App)))]
pub(super) async fn show(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
) -> Result<Json<wire::App>, Error> {
    Ok(Json(platform.app_view(&handle).await?.into()))
}

/// Give an app away
///
/// The new owner has it from now on; the old one does not, unless it is shared with them (API 1.7).
///
/// Client: `deis apps:transfer`
#[utoipa::path(
    post, path = "/apps/{app}", tag = "apps", request_body = NewOwner,
    responses((status = 200, description = "The app.", body = wire::App))
)]
pub(super) async fn transfer(
    State(platform): State<Platform>,
    OwnAppInPath(handle): OwnAppInPath,
    fields: Fields,
) -> Result<Json<wire::App>, Error> {
    let app = platform.transfer_app(&handle, &fields.required("owner", USERNAME_MAX)?).await?;
    Ok(Json(app.into()))
}

/// Destroy an app
///
/// Its containers, releases, config, domains and repository go with it; the name can be used again at once.
///
/// Client: `deis destroy`
#[utoipa::path(delete, path = "/apps/{app}", tag = "apps", responses((status = 204, description = "It is gone.")))]
pub(super) async fn destroy(
    State(platform): State<Platform>,
    OwnAppInPath(handle): OwnAppInPath,
) -> Result<StatusCode, Error> {
    platform.destroy_app(&handle).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn name(fields: &Fields) -> Result<Option<AppName>, Error> {
    if fields.value("id").is_none() {
        return Ok(None);
    }
    let text = fields.required("id", APP_NAME_MAX)?;
    let parsed = text.parse().map_err(|why| Error::Fields([("id", messages(&text, why))].into()));
    parsed.map(Some)
}

/// Deis's texts for what is wrong with a name.
fn messages(text: &str, why: InvalidAppName) -> Vec<String> {
    let first = match why {
        InvalidAppName::Blank => "This field may not be blank.".to_owned(),
        InvalidAppName::TooLong => format!("Ensure this field has no more than {APP_NAME_MAX} characters."),
        InvalidAppName::Alphabet => "App IDs can only contain [a-z0-9-].".to_owned(),
        InvalidAppName::Hyphen => "App IDs start and end with a letter or digit.".to_owned(),
        InvalidAppName::Reserved => format!("{text} is a reserved name."),
    };
    let is_slug = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let second = (why == InvalidAppName::Alphabet && !is_slug)
        .then(|| "Enter a valid 'slug' consisting of letters, numbers, underscores or hyphens.".to_owned());
    [first].into_iter().chain(second).collect()
}
