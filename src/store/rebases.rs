//! Rebases: asked for by one process, done by another.

use std::time::Duration;

use sqlx::AnyExecutor;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::StoreError;
use super::rows::{parsed, text};
use crate::model::{App, RebaseOutcome, RebaseResult, Timestamp};

fn result(row: &AnyRow) -> Result<RebaseResult, StoreError> {
    Ok(RebaseResult {
        app_id: parsed(row, "app_id")?,
        app_name: text(row, "app_name")?,
        outcome: parsed(row, "outcome")?,
        detail: text(row, "detail")?,
    })
}

/// Asks for a rebase of all apps; yields its id.
pub async fn request<'c>(executor: impl AnyExecutor<'c>) -> Result<String, StoreError> {
    let id = Uuid::new_v4().to_string();
    sqlx::query("INSERT INTO rebases (id, created_at) VALUES ($1, $2)")
        .bind(&id)
        .bind(Timestamp::now().millis())
        .execute(executor)
        .await?;
    Ok(id)
}

/// The oldest rebase that is not finished.
pub async fn next<'c>(executor: impl AnyExecutor<'c>) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("SELECT id FROM rebases WHERE finished_at IS NULL ORDER BY created_at, id LIMIT 1")
        .fetch_optional(executor)
        .await?;
    row.as_ref().map(|row| text(row, "id")).transpose()
}

/// Whether every app was looked at.
pub async fn is_finished<'c>(executor: impl AnyExecutor<'c>, id: &str) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT id FROM rebases WHERE id = $1 AND finished_at IS NOT NULL")
        .bind(id)
        .fetch_optional(executor)
        .await?;
    Ok(row.is_some())
}

/// Notes what came of it for one app. What was noted before stays.
pub async fn record<'c>(
    executor: impl AnyExecutor<'c>,
    id: &str,
    app: &App,
    outcome: RebaseOutcome,
    detail: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO rebase_outcomes (rebase_id, app_id, app_name, outcome, detail, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (rebase_id, app_id) DO NOTHING",
    )
    .bind(id)
    .bind(app.id.to_string())
    .bind(app.name.as_str())
    .bind(outcome.as_str())
    .bind(detail)
    .bind(Timestamp::now().millis())
    .execute(executor)
    .await?;
    Ok(())
}

/// What came of it so far, in the order of the work.
pub async fn results<'c>(executor: impl AnyExecutor<'c>, id: &str) -> Result<Vec<RebaseResult>, StoreError> {
    let rows = sqlx::query("SELECT * FROM rebase_outcomes WHERE rebase_id = $1 ORDER BY created_at, app_name, app_id")
        .bind(id)
        .fetch_all(executor)
        .await?;
    rows.iter().map(result).collect()
}

/// Notes that every app was looked at.
pub async fn finish<'c>(executor: impl AnyExecutor<'c>, id: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE rebases SET finished_at = $2 WHERE id = $1 AND finished_at IS NULL")
        .bind(id)
        .bind(Timestamp::now().millis())
        .execute(executor)
        .await?;
    Ok(())
}

/// Forgets finished rebases that are older than `age`.
pub async fn delete_finished<'c>(executor: impl AnyExecutor<'c>, age: Duration) -> Result<(), StoreError> {
    let before = Timestamp::now().millis() - i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    sqlx::query("DELETE FROM rebases WHERE finished_at < $1").bind(before).execute(executor).await?;
    Ok(())
}
