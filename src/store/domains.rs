//! Domains of apps.

use sqlx::AnyExecutor;
use sqlx::any::AnyRow;

use super::rows::{integer, parsed, time};
use super::{Page, StoreError};
use crate::model::{AppId, Domain, DomainName, Timestamp, UserId};

/// An adder whose account is gone gives way to the app's owner.
const SELECT: &str = "SELECT domains.*, COALESCE(adders.username, owners.username) AS owner FROM domains \
     JOIN apps ON apps.id = domains.app_id JOIN users AS owners ON owners.id = apps.owner_id \
     LEFT JOIN users AS adders ON adders.id = domains.added_by";

fn domain(row: &AnyRow) -> Result<Domain, StoreError> {
    Ok(Domain {
        name: parsed(row, "name")?,
        app_id: parsed(row, "app_id")?,
        owner: parsed(row, "owner")?,
        created_at: time(row, "created_at")?,
    })
}

/// Attaches a domain to an app. Says whether it did: an app that is being destroyed takes none.
///
/// # Errors
/// [`StoreError::Duplicate`] when any app has it.
pub async fn insert<'c>(
    executor: impl AnyExecutor<'c>,
    name: &DomainName,
    app: AppId,
    by: UserId,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO domains (name, app_id, added_by, created_at) \
         SELECT $1, id, $3, CAST($4 AS BIGINT) FROM apps WHERE id = $2 AND is_destroying = 0",
    )
    .bind(name.as_str())
    .bind(app.to_string())
    .bind(by.to_string())
    .bind(Timestamp::now().millis())
    .execute(executor)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The domain of that name.
pub async fn by_name<'c>(executor: impl AnyExecutor<'c>, name: &DomainName) -> Result<Option<Domain>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("{SELECT} WHERE domains.name = $1"));
    let row = sqlx::query(sql).bind(name.as_str()).fetch_optional(executor).await?;
    row.as_ref().map(domain).transpose()
}

/// An app's domains in the order in which they were added.
pub async fn list<'c>(executor: impl AnyExecutor<'c>, app: AppId, page: Page) -> Result<Vec<Domain>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!(
        "{SELECT} WHERE domains.app_id = $1 ORDER BY domains.created_at, domains.name LIMIT $2 OFFSET $3"
    ));
    let rows = sqlx::query(sql).bind(app.to_string()).bind(page.limit).bind(page.offset).fetch_all(executor).await?;
    rows.iter().map(domain).collect()
}

/// How many domains an app has.
pub async fn count<'c>(executor: impl AnyExecutor<'c>, app: AppId) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM domains WHERE app_id = $1")
        .bind(app.to_string())
        .fetch_one(executor)
        .await?;
    integer(&row, "n")
}

/// Takes a domain from an app; says whether it was that app's.
pub async fn delete<'c>(executor: impl AnyExecutor<'c>, name: &DomainName, app: AppId) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM domains WHERE name = $1 AND app_id = $2")
        .bind(name.as_str())
        .bind(app.to_string())
        .execute(executor)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Takes all domains from an app.
pub async fn delete_all<'c>(executor: impl AnyExecutor<'c>, app: AppId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM domains WHERE app_id = $1").bind(app.to_string()).execute(executor).await?;
    Ok(())
}

/// Every domain on the server and the app that has it.
pub async fn all<'c>(executor: impl AnyExecutor<'c>) -> Result<Vec<(DomainName, AppId)>, StoreError> {
    let rows = sqlx::query("SELECT name, app_id FROM domains").fetch_all(executor).await?;
    rows.iter().map(|row| Ok((parsed(row, "name")?, parsed(row, "app_id")?))).collect()
}

/// For every app that has domains: who may use it, as its owner or a collaborator. Administrators may use all.
pub async fn users<'c>(executor: impl AnyExecutor<'c>) -> Result<Vec<(AppId, UserId)>, StoreError> {
    let rows = sqlx::query(
        "SELECT apps.id AS app_id, apps.owner_id AS user_id FROM apps \
         WHERE apps.id IN (SELECT app_id FROM domains) \
         UNION SELECT app_id, user_id FROM collaborators WHERE app_id IN (SELECT app_id FROM domains)",
    )
    .fetch_all(executor)
    .await?;
    rows.iter().map(|row| Ok((parsed(row, "app_id")?, parsed(row, "user_id")?))).collect()
}
