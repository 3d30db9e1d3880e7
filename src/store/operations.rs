//! Operations: the record of each change, and the lock of each app.

use std::time::Duration;

use sqlx::AnyExecutor;
use sqlx::any::AnyRow;

use super::StoreError;
use super::rows::{maybe_parsed, parsed, text, time};
use crate::model::{App, AppId, Operation, OperationId, OperationKind, OperationStatus, ReleaseId, Step, Timestamp};

fn operation(row: &AnyRow) -> Result<Operation, StoreError> {
    let finished: Option<i64> = sqlx::Row::try_get(row, "finished_at")?;
    Ok(Operation {
        id: parsed(row, "id")?,
        kind: parsed(row, "kind")?,
        app_id: parsed(row, "app_id")?,
        app_name: text(row, "app_name")?,
        actor: text(row, "actor")?,
        status: parsed(row, "status")?,
        step: parsed(row, "step")?,
        release_id: maybe_parsed(row, "release_id")?,
        error: text(row, "error")?,
        started_at: time(row, "started_at")?,
        heartbeat_at: time(row, "heartbeat_at")?,
        finished_at: finished.map(Timestamp::from_millis),
    })
}

/// Begins an operation and takes its app's lock.
///
/// # Errors
/// [`StoreError::Duplicate`] while another operation of the app is live: the unique `lock_key` decides, in the database.
pub async fn begin<'c>(
    executor: impl AnyExecutor<'c>,
    kind: OperationKind,
    app: &App,
    actor: &str,
) -> Result<Operation, StoreError> {
    let row = sqlx::query(
        "INSERT INTO operations (id, kind, app_id, app_name, actor, lock_key, status, step, error, started_at, \
         heartbeat_at) VALUES ($1, $2, $3, $4, $5, $3, $6, $7, '', $8, $8) RETURNING *",
    )
    .bind(OperationId::new().as_str())
    .bind(kind.as_str())
    .bind(app.id.to_string())
    .bind(app.name.as_str())
    .bind(actor)
    .bind(OperationStatus::Running.as_str())
    .bind(Step::Accepted.as_str())
    .bind(Timestamp::now().millis())
    .fetch_one(executor)
    .await?;
    operation(&row)
}

/// Records what the operation is about to do.
pub async fn set_step<'c>(executor: impl AnyExecutor<'c>, id: &OperationId, step: Step) -> Result<(), StoreError> {
    sqlx::query("UPDATE operations SET step = $2, heartbeat_at = $3 WHERE id = $1")
        .bind(id.as_str())
        .bind(step.as_str())
        .bind(Timestamp::now().millis())
        .execute(executor)
        .await?;
    Ok(())
}

/// Records the release that the operation cut.
pub async fn set_release<'c>(
    executor: impl AnyExecutor<'c>,
    id: &OperationId,
    release: ReleaseId,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE operations SET release_id = $2 WHERE id = $1")
        .bind(id.as_str())
        .bind(release.to_string())
        .execute(executor)
        .await?;
    Ok(())
}

/// Shows a sign of life.
pub async fn heartbeat<'c>(executor: impl AnyExecutor<'c>, id: &OperationId) -> Result<(), StoreError> {
    sqlx::query("UPDATE operations SET heartbeat_at = $2 WHERE id = $1 AND lock_key IS NOT NULL")
        .bind(id.as_str())
        .bind(Timestamp::now().millis())
        .execute(executor)
        .await?;
    Ok(())
}

/// Ends the operation and gives its app's lock back. Ending an ended one changes nothing.
pub async fn finish<'c>(
    executor: impl AnyExecutor<'c>,
    id: &OperationId,
    status: OperationStatus,
    error: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE operations SET status = $2, error = $3, finished_at = $4, lock_key = NULL \
         WHERE id = $1 AND lock_key IS NOT NULL",
    )
    .bind(id.as_str())
    .bind(status.as_str())
    .bind(error)
    .bind(Timestamp::now().millis())
    .execute(executor)
    .await?;
    Ok(())
}

/// The live operation of an app.
pub async fn live_of<'c>(executor: impl AnyExecutor<'c>, app: AppId) -> Result<Option<Operation>, StoreError> {
    let row = sqlx::query("SELECT * FROM operations WHERE lock_key = $1")
        .bind(app.to_string())
        .fetch_optional(executor)
        .await?;
    row.as_ref().map(operation).transpose()
}

/// All live operations, oldest first.
pub async fn live<'c>(executor: impl AnyExecutor<'c>) -> Result<Vec<Operation>, StoreError> {
    let rows = sqlx::query("SELECT * FROM operations WHERE lock_key IS NOT NULL ORDER BY started_at")
        .fetch_all(executor)
        .await?;
    rows.iter().map(operation).collect()
}

/// Forgets ended operations that are older than `age`.
pub async fn delete_ended<'c>(executor: impl AnyExecutor<'c>, age: Duration) -> Result<u64, StoreError> {
    let before = Timestamp::now().millis() - i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    let done = sqlx::query("DELETE FROM operations WHERE lock_key IS NULL AND finished_at < $1")
        .bind(before)
        .execute(executor)
        .await?;
    Ok(done.rows_affected())
}
