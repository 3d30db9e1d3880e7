//! Apps.

use sqlx::AnyExecutor;
use sqlx::any::AnyRow;

use super::rows::{flag, integer, parsed, time};
use super::{Page, StoreError};
use crate::model::{App, AppId, AppName, Timestamp, UserId};

const SELECT: &str = "SELECT apps.*, users.username AS owner FROM apps JOIN users ON users.id = apps.owner_id";

fn app(row: &AnyRow) -> Result<App, StoreError> {
    Ok(App {
        id: parsed(row, "id")?,
        name: parsed(row, "name")?,
        owner_id: parsed(row, "owner_id")?,
        owner: parsed(row, "owner")?,
        is_destroying: flag(row, "is_destroying")?,
        epoch: integer(row, "epoch")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

/// Creates an app row.
///
/// # Errors
/// [`StoreError::Duplicate`] when the name is taken.
pub async fn insert<'c>(
    executor: impl AnyExecutor<'c>,
    id: AppId,
    name: &AppName,
    owner: UserId,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO apps (id, name, owner_id, is_destroying, created_at, updated_at) VALUES ($1, $2, $3, 0, $4, $4)",
    )
    .bind(id.to_string())
    .bind(name.as_str())
    .bind(owner.to_string())
    .bind(Timestamp::now().millis())
    .execute(executor)
    .await?;
    Ok(())
}

/// The app of that name.
pub async fn by_name<'c>(executor: impl AnyExecutor<'c>, name: &str) -> Result<Option<App>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("{SELECT} WHERE apps.name = $1"));
    let row = sqlx::query(sql).bind(name).fetch_optional(executor).await?;
    row.as_ref().map(app).transpose()
}

/// The app of that id.
pub async fn by_id<'c>(executor: impl AnyExecutor<'c>, id: AppId) -> Result<Option<App>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("{SELECT} WHERE apps.id = $1"));
    let row = sqlx::query(sql).bind(id.to_string()).fetch_optional(executor).await?;
    row.as_ref().map(app).transpose()
}

/// Apps that `viewer` owns or collaborates on, or everybody's when `None`, in order of creation.
pub async fn list<'c>(
    executor: impl AnyExecutor<'c>,
    viewer: Option<UserId>,
    page: Page,
) -> Result<Vec<App>, StoreError> {
    const ORDER: &str = "ORDER BY mine.created_at, mine.id LIMIT $2 OFFSET $3";
    // Two texts and not one with a case for everybody: each is planned for what it is. Own apps and those of others are
    // two lookups by index, each in order of creation: for an OR over both PostgreSQL reads the whole table.
    let from = if viewer.is_some() {
        "(SELECT * FROM apps WHERE owner_id = $1 \
          UNION ALL SELECT apps.* FROM collaborators JOIN apps ON apps.id = collaborators.app_id \
          WHERE collaborators.user_id = $1 AND apps.owner_id <> $1)"
    } else {
        "(SELECT * FROM apps WHERE $1 = '')"
    };
    let sql = format!("SELECT mine.*, users.username AS owner FROM {from} mine JOIN users ON users.id = mine.owner_id");
    let sql = sqlx::AssertSqlSafe(format!("{sql} {ORDER}"));
    let viewer = viewer.map(|id| id.to_string()).unwrap_or_default();
    let rows = sqlx::query(sql).bind(viewer).bind(page.limit).bind(page.offset).fetch_all(executor).await?;
    rows.iter().map(app).collect()
}

/// How many apps [`list`] would yield over all pages.
pub async fn count<'c>(executor: impl AnyExecutor<'c>, viewer: Option<UserId>) -> Result<i64, StoreError> {
    let sql = if viewer.is_some() {
        "SELECT (SELECT COUNT(*) FROM apps WHERE owner_id = $1) \
         + (SELECT COUNT(*) FROM collaborators JOIN apps ON apps.id = collaborators.app_id \
            WHERE collaborators.user_id = $1 AND apps.owner_id <> $1) AS n"
    } else {
        "SELECT COUNT(*) AS n FROM apps WHERE $1 = ''"
    };
    let viewer = viewer.map(|id| id.to_string()).unwrap_or_default();
    let row = sqlx::query(sql).bind(viewer).fetch_one(executor).await?;
    integer(&row, "n")
}

/// The apps that a user owns, those on their way out included.
pub async fn owned_by<'c>(executor: impl AnyExecutor<'c>, owner: UserId) -> Result<Vec<App>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("{SELECT} WHERE apps.owner_id = $1 ORDER BY apps.created_at, apps.id"));
    let rows = sqlx::query(sql).bind(owner.to_string()).fetch_all(executor).await?;
    rows.iter().map(app).collect()
}

/// Gives the app to another user.
pub async fn set_owner<'c>(executor: impl AnyExecutor<'c>, id: AppId, owner: UserId) -> Result<(), StoreError> {
    sqlx::query("UPDATE apps SET owner_id = $2, updated_at = $3 WHERE id = $1")
        .bind(id.to_string())
        .bind(owner.to_string())
        .bind(Timestamp::now().millis())
        .execute(executor)
        .await?;
    Ok(())
}

/// Begins another epoch of the app: what was begun with access to it under the one before has to end. Returns the new one.
pub async fn advance_epoch<'c>(executor: impl AnyExecutor<'c>, id: AppId) -> Result<i64, StoreError> {
    let row = sqlx::query("UPDATE apps SET epoch = epoch + 1 WHERE id = $1 RETURNING epoch")
        .bind(id.to_string())
        .fetch_one(executor)
        .await?;
    integer(&row, "epoch")
}

/// Notes that something about the app changed now.
pub async fn touch<'c>(executor: impl AnyExecutor<'c>, id: AppId) -> Result<(), StoreError> {
    sqlx::query("UPDATE apps SET updated_at = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(Timestamp::now().millis())
        .execute(executor)
        .await?;
    Ok(())
}

/// Puts the app beyond return: from now on it can only be destroyed.
pub async fn mark_destroying<'c>(executor: impl AnyExecutor<'c>, id: AppId) -> Result<(), StoreError> {
    sqlx::query("UPDATE apps SET is_destroying = 1 WHERE id = $1").bind(id.to_string()).execute(executor).await?;
    Ok(())
}

/// The apps that are beyond return.
pub async fn destroying<'c>(executor: impl AnyExecutor<'c>) -> Result<Vec<App>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("{SELECT} WHERE apps.is_destroying = 1"));
    let rows = sqlx::query(sql).fetch_all(executor).await?;
    rows.iter().map(app).collect()
}

/// Removes the app's row and, with it, its configs, builds, releases, formation and instances.
pub async fn delete<'c>(executor: impl AnyExecutor<'c>, id: AppId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM apps WHERE id = $1").bind(id.to_string()).execute(executor).await?;
    Ok(())
}
