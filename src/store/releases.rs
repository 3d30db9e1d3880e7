//! Releases.

use sqlx::AnyExecutor;
use sqlx::any::AnyRow;

use super::rows::{integer, maybe_parsed, parsed, text, time};
use super::{Page, StoreError, Transaction};
use crate::model::{AppId, BuildId, ConfigId, Release, ReleaseId, ReleaseStatus, Timestamp, UserId};

const SELECT: &str =
    "SELECT releases.*, users.username AS owner FROM releases JOIN users ON users.id = releases.owner_id";

/// A release to cut.
#[derive(Debug, Clone)]
pub struct NewRelease {
    /// Whose release.
    pub app: AppId,
    /// Who caused it.
    pub owner: UserId,
    /// What runs.
    pub build: Option<BuildId>,
    /// What it runs with.
    pub config: ConfigId,
    /// What changed.
    pub summary: String,
    /// Whether it still has to be rolled out.
    pub status: ReleaseStatus,
}

fn release(row: &AnyRow) -> Result<Release, StoreError> {
    Ok(Release {
        id: parsed(row, "id")?,
        app_id: parsed(row, "app_id")?,
        owner_id: parsed(row, "owner_id")?,
        owner: parsed(row, "owner")?,
        version: integer(row, "version")?,
        build_id: maybe_parsed(row, "build_id")?,
        config_id: parsed(row, "config_id")?,
        status: parsed(row, "status")?,
        summary: text(row, "summary")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

/// Cuts the app's next release: one more than its highest version.
///
/// # Errors
/// [`StoreError::Duplicate`] when another one was cut in between; the app's operation lock keeps that from happening.
pub async fn insert(tx: &mut Transaction, new: &NewRelease) -> Result<Release, StoreError> {
    let id = ReleaseId::new();
    sqlx::query(
        "INSERT INTO releases (id, app_id, owner_id, version, build_id, config_id, status, summary, created_at, updated_at) \
         VALUES ($1, $2, $3, (SELECT COALESCE(MAX(version), 0) + 1 FROM releases WHERE app_id = $2), $4, $5, $6, $7, $8, $8)",
    )
    .bind(id.to_string())
    .bind(new.app.to_string())
    .bind(new.owner.to_string())
    .bind(new.build.map(|id| id.to_string()))
    .bind(new.config.to_string())
    .bind(new.status.as_str())
    .bind(&new.summary)
    .bind(Timestamp::now().millis())
    .execute(&mut **tx)
    .await?;
    let found = by_id(&mut **tx, id).await?;
    found.ok_or(StoreError::Corrupt { column: "releases.id", value: id.to_string() })
}

/// Removes an app's deployed releases before its last `keep` ones, but for those that something runs, and the configs that
/// no release has then.
pub async fn remove_old(tx: &mut Transaction, app: AppId, keep: u64) -> Result<(), StoreError> {
    let gone = sqlx::query(
        "DELETE FROM releases WHERE app_id = $1 AND status = $2 AND version <= \
           (SELECT MAX(d.version) FROM releases d WHERE d.app_id = $1 AND d.status = $2) - $3 \
         AND id NOT IN (SELECT i.release_id FROM instances i WHERE i.app_id = $1) \
         AND id NOT IN (SELECT i.release_id FROM group_instances i WHERE i.app_id = $1)",
    )
    .bind(app.to_string())
    .bind(ReleaseStatus::Deployed.as_str())
    .bind(i64::try_from(keep).unwrap_or(i64::MAX / 2))
    .execute(&mut **tx)
    .await?;
    if gone.rows_affected() > 0 {
        super::configs::delete_unused(&mut **tx, app).await?;
    }
    Ok(())
}

/// The release of that id.
pub async fn by_id<'c>(executor: impl AnyExecutor<'c>, id: ReleaseId) -> Result<Option<Release>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("{SELECT} WHERE releases.id = $1"));
    let row = sqlx::query(sql).bind(id.to_string()).fetch_optional(executor).await?;
    row.as_ref().map(release).transpose()
}

/// An app's deployed release of that version.
pub async fn by_version<'c>(
    executor: impl AnyExecutor<'c>,
    app: AppId,
    version: i64,
) -> Result<Option<Release>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("{SELECT} WHERE app_id = $1 AND version = $2 AND status = $3"));
    let row = sqlx::query(sql)
        .bind(app.to_string())
        .bind(version)
        .bind(ReleaseStatus::Deployed.as_str())
        .fetch_optional(executor)
        .await?;
    row.as_ref().map(release).transpose()
}

/// An app's newest deployed release; there always is one, v1 comes with the app.
pub async fn latest<'c>(executor: impl AnyExecutor<'c>, app: AppId) -> Result<Option<Release>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("{SELECT} WHERE app_id = $1 AND status = $2 ORDER BY version DESC LIMIT 1"));
    let row =
        sqlx::query(sql).bind(app.to_string()).bind(ReleaseStatus::Deployed.as_str()).fetch_optional(executor).await?;
    row.as_ref().map(release).transpose()
}

/// An app's deployed releases, newest first.
pub async fn list<'c>(executor: impl AnyExecutor<'c>, app: AppId, page: Page) -> Result<Vec<Release>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!(
        "{SELECT} WHERE app_id = $1 AND status = $2 ORDER BY version DESC LIMIT $3 OFFSET $4"
    ));
    let rows = sqlx::query(sql)
        .bind(app.to_string())
        .bind(ReleaseStatus::Deployed.as_str())
        .bind(page.limit)
        .bind(page.offset)
        .fetch_all(executor)
        .await?;
    rows.iter().map(release).collect()
}

/// How many deployed releases an app has.
pub async fn count<'c>(executor: impl AnyExecutor<'c>, app: AppId) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM releases WHERE app_id = $1 AND status = $2")
        .bind(app.to_string())
        .bind(ReleaseStatus::Deployed.as_str())
        .fetch_one(executor)
        .await?;
    integer(&row, "n")
}

/// The switch has been made: the release counts from now on.
pub async fn mark_deployed<'c>(executor: impl AnyExecutor<'c>, id: ReleaseId) -> Result<(), StoreError> {
    sqlx::query("UPDATE releases SET status = $2, updated_at = $3 WHERE id = $1")
        .bind(id.to_string())
        .bind(ReleaseStatus::Deployed.as_str())
        .bind(Timestamp::now().millis())
        .execute(executor)
        .await?;
    Ok(())
}

/// Removes an app's release that was never switched to, so that its number is used again (Deis, spec §7).
pub async fn delete_pending<'c>(executor: impl AnyExecutor<'c>, app: AppId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM releases WHERE app_id = $1 AND status = $2")
        .bind(app.to_string())
        .bind(ReleaseStatus::Pending.as_str())
        .execute(executor)
        .await?;
    Ok(())
}

/// Removes one release if it was never switched to.
///
/// # Errors
/// [`StoreError::Dangling`] while an instance refers to it.
pub async fn delete_if_pending<'c>(executor: impl AnyExecutor<'c>, id: ReleaseId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM releases WHERE id = $1 AND status = $2")
        .bind(id.to_string())
        .bind(ReleaseStatus::Pending.as_str())
        .execute(executor)
        .await?;
    Ok(())
}
