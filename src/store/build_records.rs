//! Records of attempts to build.

use sqlx::AnyExecutor;
use sqlx::any::AnyRow;

use super::rows::{integer, maybe_parsed, maybe_text, parsed, text, time};
use super::{Page, StoreError};
use crate::model::{AppId, BuildId, BuildRecord, BuildStatus, Phase, SourceKind, Timestamp};

/// An attempt that begins.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// The build's id.
    pub id: BuildId,
    /// Whose build.
    pub app: AppId,
    /// Who asked for it.
    pub actor: String,
    /// Where the source comes from.
    pub source_kind: SourceKind,
    /// Commit id or image reference.
    pub source: String,
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub struct Ending {
    /// [`BuildStatus::Succeeded`] or [`BuildStatus::Failed`].
    pub status: BuildStatus,
    /// What it went through.
    pub phases: Vec<Phase>,
    /// Why it failed, empty otherwise.
    pub error: String,
}

/// What is known of an attempt's image.
#[derive(Debug, Clone)]
pub struct Yield {
    /// The earlier build that it is the image of.
    pub reused: Option<BuildId>,
    /// Content id.
    pub digest: String,
    /// Bytes.
    pub size_bytes: i64,
}

fn record(row: &AnyRow) -> Result<BuildRecord, StoreError> {
    let phases = text(row, "phases")?;
    let millis = |column| -> Result<Option<i64>, StoreError> { Ok(sqlx::Row::try_get(row, column)?) };
    Ok(BuildRecord {
        id: parsed(row, "id")?,
        app_id: parsed(row, "app_id")?,
        actor: text(row, "actor")?,
        status: parsed(row, "status")?,
        source_kind: parsed(row, "source_kind")?,
        source: text(row, "source")?,
        reused: maybe_parsed(row, "reused_id")?,
        digest: maybe_text(row, "digest")?,
        size_bytes: millis("size_bytes")?,
        phases: serde_json::from_str(&phases).map_err(|_| StoreError::Corrupt { column: "phases", value: phases })?,
        error: text(row, "error")?,
        started_at: time(row, "started_at")?,
        ended_at: millis("ended_at")?.map(Timestamp::from_millis),
    })
}

/// Records that an attempt begins.
pub async fn insert<'c>(executor: impl AnyExecutor<'c>, new: &NewRecord) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO build_records (id, app_id, actor, status, source_kind, source, phases, error, started_at) \
         VALUES ($1, $2, $3, $4, $5, $6, '[]', '', $7)",
    )
    .bind(new.id.to_string())
    .bind(new.app.to_string())
    .bind(&new.actor)
    .bind(BuildStatus::Pending.as_str())
    .bind(new.source_kind.as_str())
    .bind(&new.source)
    .bind(Timestamp::now().millis())
    .execute(executor)
    .await?;
    Ok(())
}

/// Notes the image that an attempt has led to.
pub async fn set_yield<'c>(executor: impl AnyExecutor<'c>, id: BuildId, found: &Yield) -> Result<(), StoreError> {
    sqlx::query("UPDATE build_records SET reused_id = $2, digest = $3, size_bytes = $4 WHERE id = $1")
        .bind(id.to_string())
        .bind(found.reused.map(|id| id.to_string()))
        .bind(&found.digest)
        .bind(found.size_bytes)
        .execute(executor)
        .await?;
    Ok(())
}

/// Records how an attempt ended.
pub async fn end<'c>(executor: impl AnyExecutor<'c>, id: BuildId, ending: &Ending) -> Result<(), StoreError> {
    sqlx::query("UPDATE build_records SET status = $2, phases = $3, error = $4, ended_at = $5 WHERE id = $1")
        .bind(id.to_string())
        .bind(ending.status.as_str())
        .bind(serde_json::to_string(&ending.phases).expect("phases are JSON"))
        .bind(&ending.error)
        .bind(Timestamp::now().millis())
        .execute(executor)
        .await?;
    Ok(())
}

/// Marks an app's attempts that never came to an end as failed.
pub async fn fail_pending<'c>(executor: impl AnyExecutor<'c>, app: AppId, error: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE build_records SET status = $2, error = $3, ended_at = $4 WHERE app_id = $1 AND status = $5")
        .bind(app.to_string())
        .bind(BuildStatus::Failed.as_str())
        .bind(error)
        .bind(Timestamp::now().millis())
        .bind(BuildStatus::Pending.as_str())
        .execute(executor)
        .await?;
    Ok(())
}

/// The record of that id.
pub async fn get<'c>(executor: impl AnyExecutor<'c>, id: BuildId) -> Result<Option<BuildRecord>, StoreError> {
    let row = sqlx::query("SELECT * FROM build_records WHERE id = $1").bind(id.to_string());
    row.fetch_optional(executor).await?.as_ref().map(record).transpose()
}

/// An app's records, newest first.
pub async fn list<'c>(executor: impl AnyExecutor<'c>, app: AppId, page: Page) -> Result<Vec<BuildRecord>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM build_records WHERE app_id = $1 ORDER BY started_at DESC, id DESC LIMIT $2 OFFSET $3",
    )
    .bind(app.to_string())
    .bind(page.limit)
    .bind(page.offset)
    .fetch_all(executor)
    .await?;
    rows.iter().map(record).collect()
}

/// How many records an app has.
pub async fn count<'c>(executor: impl AnyExecutor<'c>, app: AppId) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM build_records WHERE app_id = $1").bind(app.to_string());
    integer(&row.fetch_one(executor).await?, "n")
}

/// Forgets an app's records but the newest `kept` ones; yields whose they were.
pub async fn delete_old(pool: &sqlx::AnyPool, app: AppId, kept: i64) -> Result<Vec<BuildId>, StoreError> {
    let rows = sqlx::query(
        "DELETE FROM build_records WHERE app_id = $1 AND status <> $2 AND id NOT IN (SELECT id FROM build_records \
         WHERE app_id = $1 ORDER BY started_at DESC, id DESC LIMIT $3) RETURNING id",
    )
    .bind(app.to_string())
    .bind(BuildStatus::Pending.as_str())
    .bind(kept)
    .fetch_all(pool)
    .await?;
    rows.iter().map(|row| parsed(row, "id")).collect()
}
