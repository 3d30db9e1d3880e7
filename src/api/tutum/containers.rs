//! Containers (spec §8).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::auth::Caller;
use super::body::Object;
use super::error::Error;
use super::list::{ListOf, Query};
use super::openapi::bodies::Redeployment;
use super::paths::ContainerInPath;
use super::wire::{Container, ContainerRow, Logs};
use super::{applications, states};
use crate::platform::{GroupInstanceDetail, GroupInstanceFilter, Platform};

/// What an accepted change answers: the container as it is now (spec §1.1).
type Accepted = (StatusCode, Json<Container>);

/// List containers
///
/// Those of all applications of the caller, oldest first. One that was terminated stays for five minutes.
///
/// Client: `Container.list()`
#[utoipa::path(
    get, path = "/container/", tag = "container",
    responses((status = 200, description = "The containers.", body = ListOf<ContainerRow>))
)]
pub(super) async fn list(
    State(platform): State<Platform>,
    Caller(user): Caller,
    query: Query,
) -> Result<Json<ListOf<ContainerRow>>, Error> {
    let filter = GroupInstanceFilter {
        name: query.filter("name"),
        unique_name: query.filter("unique_name"),
        states: query.filter("state").map(|word| states::containers_in(&word)),
        id: query.filter("uuid"),
        id_prefix: query.filter("uuid__startswith"),
        group: applications::filter(&query, "application__"),
    };
    let found = platform.group_instances(&user, &filter, query.window()).await?;
    Ok(query.page(found, |view| ContainerRow::new(view, platform.settings())))
}

/// Look at a container
///
/// Client: `Container.fetch(...)`
#[utoipa::path(
    get, path = "/container/{uuid}/", tag = "container",
    responses((status = 200, description = "The container.", body = Container))
)]
pub(super) async fn show(
    State(platform): State<Platform>,
    Caller(user): Caller,
    ContainerInPath(id): ContainerInPath,
) -> Result<Json<Container>, Error> {
    let found = platform.group_instance(&user, id).await?;
    Ok(Json(Container::new(found, platform.settings())))
}

/// Start a container
///
/// It runs again, with its data, ports and environment.
///
/// Client: `Container.start()`
#[utoipa::path(
    post, path = "/container/{uuid}/start/", tag = "container",
    responses((status = 202, description = "It is starting.", body = Container))
)]
pub(super) async fn start(
    State(platform): State<Platform>,
    Caller(user): Caller,
    ContainerInPath(id): ContainerInPath,
) -> Result<Accepted, Error> {
    accepted(&platform, platform.start_group_instance(&user, id).await?)
}

/// Stop a container
///
/// It gets SIGTERM, and SIGKILL ten seconds later. Its data and ports stay.
///
/// Client: `Container.stop()`
#[utoipa::path(
    post, path = "/container/{uuid}/stop/", tag = "container",
    responses((status = 202, description = "It is stopping.", body = Container))
)]
pub(super) async fn stop(
    State(platform): State<Platform>,
    Caller(user): Caller,
    ContainerInPath(id): ContainerInPath,
) -> Result<Accepted, Error> {
    accepted(&platform, platform.stop_group_instance(&user, id).await?)
}

/// Redeploy a container
///
/// It is replaced by a new one of the same image, or of another tag of it; the answer is the old one.
///
/// Client: `Container.redeploy(tag)`
#[utoipa::path(
    post, path = "/container/{uuid}/redeploy/", tag = "container", request_body = Redeployment,
    responses((status = 202, description = "It is being replaced.", body = Container))
)]
pub(super) async fn redeploy(
    State(platform): State<Platform>,
    Caller(user): Caller,
    ContainerInPath(id): ContainerInPath,
    object: Object,
) -> Result<Accepted, Error> {
    platform.group_instance(&user, id).await?;
    let tag = object.text("tag")?.map(str::to_owned);
    accepted(&platform, platform.redeploy_group_instance(&user, id, tag).await?)
}

/// Terminate a container
///
/// It goes with all its data, and its application should have one less from now on.
///
/// Client: `Container.delete()`
#[utoipa::path(
    delete, path = "/container/{uuid}/", tag = "container",
    responses((status = 202, description = "It is being terminated.", body = Container))
)]
pub(super) async fn terminate(
    State(platform): State<Platform>,
    Caller(user): Caller,
    ContainerInPath(id): ContainerInPath,
) -> Result<Accepted, Error> {
    accepted(&platform, platform.terminate_group_instance(&user, id).await?)
}

/// Read a container's logs
///
/// Both outputs of all its runs, as they came.
///
/// Client: `Container.logs`
#[utoipa::path(
    get, path = "/container/{uuid}/logs/", tag = "container",
    responses((status = 200, description = "The logs.", body = Logs))
)]
pub(super) async fn logs(
    State(platform): State<Platform>,
    Caller(user): Caller,
    ContainerInPath(id): ContainerInPath,
) -> Result<Json<Logs>, Error> {
    Ok(Json(Logs { logs: platform.group_instance_logs(&user, id).await? }))
}

fn accepted(platform: &Platform, detail: GroupInstanceDetail) -> Result<Accepted, Error> {
    Ok((StatusCode::ACCEPTED, Json(Container::new(detail, platform.settings()))))
}
