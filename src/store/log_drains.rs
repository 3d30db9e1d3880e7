//! Log drains, their addresses sealed.

use sqlx::any::AnyRow;
use sqlx::{AnyExecutor, Row};

use super::rows::{integer, parsed, time};
use super::{Page, Sealer, StoreError};
use crate::model::{AppId, AppName, DrainUrl, LogDrain, LogDrainId, Timestamp, UserId};

fn drain(row: &AnyRow, sealer: &Sealer) -> Result<LogDrain, StoreError> {
    let id: LogDrainId = parsed(row, "id")?;
    let sealed: Vec<u8> = row.try_get("sealed_url")?;
    let plain = sealer.open(&sealed, &id.to_string())?;
    let url = String::from_utf8(plain).ok().and_then(|text| text.parse().ok());
    let url = url.ok_or_else(|| StoreError::Corrupt { column: "sealed_url", value: "no address".to_owned() })?;
    Ok(LogDrain { id, app_id: parsed(row, "app_id")?, url, created_at: time(row, "created_at")? })
}

/// Gives an app a drain; `None` for an app that is being destroyed.
pub async fn insert<'c>(
    executor: impl AnyExecutor<'c>,
    sealer: &Sealer,
    app: AppId,
    url: &DrainUrl,
    by: UserId,
) -> Result<Option<LogDrain>, StoreError> {
    let (id, created_at) = (LogDrainId::new(), Timestamp::now());
    let done = sqlx::query(
        "INSERT INTO log_drains (id, app_id, sealed_url, created_at, added_by) \
         SELECT $1, id, $3, CAST($4 AS BIGINT), $5 FROM apps WHERE id = $2 AND is_destroying = 0",
    )
    .bind(id.to_string())
    .bind(app.to_string())
    .bind(sealer.seal(url.as_str().as_bytes(), &id.to_string()))
    .bind(created_at.millis())
    .bind(by.to_string())
    .execute(executor)
    .await?;
    Ok((done.rows_affected() > 0).then(|| LogDrain { id, app_id: app, url: url.clone(), created_at }))
}

/// An app's drains in the order in which they were added.
pub async fn list<'c>(
    executor: impl AnyExecutor<'c>,
    sealer: &Sealer,
    app: AppId,
    page: Page,
) -> Result<Vec<LogDrain>, StoreError> {
    let rows = sqlx::query("SELECT * FROM log_drains WHERE app_id = $1 ORDER BY created_at, id LIMIT $2 OFFSET $3")
        .bind(app.to_string())
        .bind(page.limit)
        .bind(page.offset)
        .fetch_all(executor)
        .await?;
    rows.iter().map(|row| drain(row, sealer)).collect()
}

/// How many drains an app has.
pub async fn count<'c>(executor: impl AnyExecutor<'c>, app: AppId) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM log_drains WHERE app_id = $1")
        .bind(app.to_string())
        .fetch_one(executor)
        .await?;
    integer(&row, "n")
}

/// Takes a drain from an app; says whether it was that app's.
pub async fn delete<'c>(executor: impl AnyExecutor<'c>, id: LogDrainId, app: AppId) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM log_drains WHERE id = $1 AND app_id = $2")
        .bind(id.to_string())
        .bind(app.to_string())
        .execute(executor)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Every drain on the server, with the name of its app.
pub async fn all<'c>(executor: impl AnyExecutor<'c>, sealer: &Sealer) -> Result<Vec<(LogDrain, AppName)>, StoreError> {
    let rows = sqlx::query(
        "SELECT log_drains.*, apps.name AS app_name FROM log_drains JOIN apps ON apps.id = log_drains.app_id \
         WHERE apps.is_destroying = 0 ORDER BY log_drains.created_at, log_drains.id",
    )
    .fetch_all(executor)
    .await?;
    rows.iter().map(|row| Ok((drain(row, sealer)?, parsed(row, "app_name")?))).collect()
}

/// Takes away the drains that somebody gave to an app; returns which.
pub async fn delete_of<'c>(
    executor: impl AnyExecutor<'c>,
    app: AppId,
    by: UserId,
) -> Result<Vec<LogDrainId>, StoreError> {
    let rows = sqlx::query("DELETE FROM log_drains WHERE app_id = $1 AND added_by = $2 RETURNING id")
        .bind(app.to_string())
        .bind(by.to_string())
        .fetch_all(executor)
        .await?;
    rows.iter().map(|row| parsed(row, "id")).collect()
}
