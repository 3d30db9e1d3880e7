//! Scheduled commands: not in Deis; the shapes follow its other lists.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::error::Error;
use super::page::{PageOf, Paging};
use super::path::{AppInPath, InPath};
use super::wire;
use crate::model::CronTaskId;
use crate::platform::Platform;

/// List scheduled commands
///
/// Those of the current release, in the order of its `app.json`, each with its next moment and its last run.
#[utoipa::path(
    get, path = "/apps/{app}/cron", tag = "cron",
    responses((status = 200, description = "The scheduled commands.", body = PageOf<wire::CronTask>))
)]
pub(super) async fn list(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    paging: Paging,
) -> Result<Json<PageOf<wire::CronTask>>, Error> {
    paging.of(|page| platform.cron_tasks(&handle, page), |view| wire::CronTask::new(handle.app(), view)).await
}

/// The part of the path that is a task's id.
#[derive(Deserialize)]
pub(super) struct Named {
    task: String,
}

/// Run a scheduled command now
///
/// Beside its schedule, which stays as it is. The answer does not wait for the run; the list shows how it went, and the app's log
/// what it said. A task that is paused is not run.
#[utoipa::path(
    post, path = "/apps/{app}/cron/{task}/run", tag = "cron",
    responses(
        (status = 201, description = "The run.", body = wire::CronRun),
        (status = 409),
    )
)]
pub(super) async fn run(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    InPath(named): InPath<Named>,
) -> Result<(StatusCode, Json<wire::CronRun>), Error> {
    let id: CronTaskId = named.task.parse().map_err(|_| Error::NotFound)?;
    let run = platform.run_cron_task(&handle, &id).await?;
    Ok((StatusCode::CREATED, Json(run.into())))
}
