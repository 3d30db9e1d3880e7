//! Applications (spec §4-§7).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::auth::Caller;
use super::body::Object;
use super::error::Error;
use super::list::{ListOf, Query};
use super::openapi::bodies::{ApplicationChanges, NewApplication, Redeployment};
use super::paths::ApplicationInPath;
use super::wire::{Application, ApplicationRow, Logs};
use super::{links, members, states};
use crate::platform::{GroupDetail, GroupFilter, Platform};

/// What an accepted change answers: the application as it is now (spec §1.1).
type Accepted = (StatusCode, Json<Application>);

/// List applications
///
/// Those of the caller, oldest first. One that was terminated stays for five minutes.
///
/// Client: `Application.list()`
#[utoipa::path(
    get, path = "/application/", tag = "application",
    responses((status = 200, description = "The applications.", body = ListOf<ApplicationRow>))
)]
pub(super) async fn list(
    State(platform): State<Platform>,
    Caller(user): Caller,
    query: Query,
) -> Result<Json<ListOf<ApplicationRow>>, Error> {
    let found = platform.groups(&user, &filter(&query, ""), query.window()).await?;
    Ok(query.page(found, |view| ApplicationRow::new(view, platform.settings())))
}

/// Create an application
///
/// Its containers are deployed at once; whether the image can be had shows in their states. The name is made unique by a
/// number where it is taken.
///
/// Client: `Application.create(...).save()`
#[utoipa::path(
    post, path = "/application/", tag = "application", request_body = NewApplication,
    responses((status = 202, description = "It is being deployed.", body = Application), (status = 403))
)]
pub(super) async fn create(
    State(platform): State<Platform>,
    Caller(user): Caller,
    object: Object,
) -> Result<Accepted, Error> {
    let settings = platform.settings();
    let mut new = members::new_application(&object, &settings.sizes, &settings.api_url)?;
    new.links = links::read(&platform, &user, &object).await?;
    accepted(&platform, platform.create_group(&user, new).await?)
}

/// Look at an application
///
/// Client: `Application.fetch(...)`
#[utoipa::path(
    get, path = "/application/{uuid}/", tag = "application",
    responses((status = 200, description = "The application.", body = Application))
)]
pub(super) async fn show(
    State(platform): State<Platform>,
    Caller(user): Caller,
    ApplicationInPath(id): ApplicationInPath,
) -> Result<Json<Application>, Error> {
    let found = platform.group(&user, id).await?;
    Ok(Json(Application::new(found, platform.settings())))
}

/// Scale or change an application
///
/// Scaling up takes the next numbers, scaling down terminates the highest ones. Policies hold at once for the containers that
/// are there. What else it is made of is fixed, and not looked at.
///
/// Client: `Application.save()`
#[utoipa::path(
    patch, path = "/application/{uuid}/", tag = "application", request_body = ApplicationChanges,
    responses((status = 202, description = "It is being changed.", body = Application), (status = 403))
)]
pub(super) async fn change(
    State(platform): State<Platform>,
    Caller(user): Caller,
    ApplicationInPath(id): ApplicationInPath,
    object: Object,
) -> Result<Accepted, Error> {
    // Somebody else's application is not there, whatever the body.
    platform.group(&user, id).await?;
    accepted(&platform, platform.update_group(&user, id, members::change(&object)?).await?)
}

/// Start an application
///
/// Its stopped containers run again, with their data and ports.
///
/// Client: `Application.start()`
#[utoipa::path(
    post, path = "/application/{uuid}/start/", tag = "application",
    responses((status = 202, description = "It is starting.", body = Application))
)]
pub(super) async fn start(
    State(platform): State<Platform>,
    Caller(user): Caller,
    ApplicationInPath(id): ApplicationInPath,
) -> Result<Accepted, Error> {
    accepted(&platform, platform.start_group(&user, id).await?)
}

/// Stop an application
///
/// Its running containers get SIGTERM, and SIGKILL ten seconds later. Their data and ports stay.
///
/// Client: `Application.stop()`
#[utoipa::path(
    post, path = "/application/{uuid}/stop/", tag = "application",
    responses((status = 202, description = "It is stopping.", body = Application))
)]
pub(super) async fn stop(
    State(platform): State<Platform>,
    Caller(user): Caller,
    ApplicationInPath(id): ApplicationInPath,
) -> Result<Accepted, Error> {
    accepted(&platform, platform.stop_group(&user, id).await?)
}

/// Redeploy an application
///
/// All containers are replaced by new ones of the same image, or of another tag of it.
///
/// Client: `Application.redeploy(tag)`
#[utoipa::path(
    post, path = "/application/{uuid}/redeploy/", tag = "application", request_body = Redeployment,
    responses((status = 202, description = "Its containers are being replaced.", body = Application))
)]
pub(super) async fn redeploy(
    State(platform): State<Platform>,
    Caller(user): Caller,
    ApplicationInPath(id): ApplicationInPath,
    object: Object,
) -> Result<Accepted, Error> {
    platform.group(&user, id).await?;
    let tag = object.text("tag")?.map(str::to_owned);
    accepted(&platform, platform.redeploy_group(&user, id, tag).await?)
}

/// Terminate an application
///
/// Its containers go with all their data.
///
/// Client: `Application.delete()`
#[utoipa::path(
    delete, path = "/application/{uuid}/", tag = "application",
    responses((status = 202, description = "It is being terminated.", body = Application))
)]
pub(super) async fn terminate(
    State(platform): State<Platform>,
    Caller(user): Caller,
    ApplicationInPath(id): ApplicationInPath,
) -> Result<Accepted, Error> {
    accepted(&platform, platform.terminate_group(&user, id).await?)
}

/// Read an application's logs
///
/// Those of its containers, by number, each line behind the container's name.
///
/// Client: `Application.logs`
#[utoipa::path(
    get, path = "/application/{uuid}/logs/", tag = "application",
    responses((status = 200, description = "The logs.", body = Logs))
)]
pub(super) async fn logs(
    State(platform): State<Platform>,
    Caller(user): Caller,
    ApplicationInPath(id): ApplicationInPath,
) -> Result<Json<Logs>, Error> {
    Ok(Json(Logs { logs: platform.group_logs(&user, id).await? }))
}

/// What a query asks of applications; in lists of containers the parameters have a prefix.
pub(super) fn filter(query: &Query, prefix: &str) -> GroupFilter {
    let value = |name: &str| query.filter(&format!("{prefix}{name}"));
    GroupFilter {
        name: value("name"),
        unique_name: value("unique_name"),
        states: value("state").map(|word| states::applications_in(&word)),
        id: value("uuid"),
        id_prefix: value("uuid__startswith"),
    }
}

fn accepted(platform: &Platform, detail: GroupDetail) -> Result<Accepted, Error> {
    Ok((StatusCode::ACCEPTED, Json(Application::new(detail, platform.settings()))))
}
