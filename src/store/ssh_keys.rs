//! Registered SSH keys.

use sqlx::AnyExecutor;
use sqlx::any::AnyRow;

use super::rows::{integer, parsed, text, time};
use super::{Page, StoreError};
use crate::model::{SshKey, SshKeyId, Timestamp, UserId};

const SELECT: &str =
    "SELECT ssh_keys.*, users.username AS owner FROM ssh_keys JOIN users ON users.id = ssh_keys.user_id";

fn ssh_key(row: &AnyRow) -> Result<SshKey, StoreError> {
    Ok(SshKey {
        id: parsed(row, "id")?,
        user_id: parsed(row, "user_id")?,
        owner: parsed(row, "owner")?,
        name: text(row, "name")?,
        public: text(row, "public")?,
        fingerprint: text(row, "fingerprint")?,
        created_at: time(row, "created_at")?,
    })
}

/// Registers a key.
///
/// # Errors
/// [`StoreError::Duplicate`] when the fingerprint, or this user's name for it, is taken.
pub async fn insert<'c>(
    executor: impl AnyExecutor<'c>,
    user: UserId,
    name: &str,
    public: &str,
    fingerprint: &str,
) -> Result<SshKeyId, StoreError> {
    let id = SshKeyId::new();
    sqlx::query(
        "INSERT INTO ssh_keys (id, user_id, name, public, fingerprint, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(id.to_string())
    .bind(user.to_string())
    .bind(name)
    .bind(public)
    .bind(fingerprint)
    .bind(Timestamp::now().millis())
    .execute(executor)
    .await?;
    Ok(id)
}

/// A user's keys in order of creation.
pub async fn list<'c>(executor: impl AnyExecutor<'c>, user: UserId, page: Page) -> Result<Vec<SshKey>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!(
        "{SELECT} WHERE user_id = $1 ORDER BY ssh_keys.created_at, ssh_keys.id LIMIT $2 OFFSET $3"
    ));
    let rows = sqlx::query(sql).bind(user.to_string()).bind(page.limit).bind(page.offset).fetch_all(executor).await?;
    rows.iter().map(ssh_key).collect()
}

/// How many keys a user has.
pub async fn count<'c>(executor: impl AnyExecutor<'c>, user: UserId) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM ssh_keys WHERE user_id = $1")
        .bind(user.to_string())
        .fetch_one(executor)
        .await?;
    integer(&row, "n")
}

/// A user's key by the user's name for it.
pub async fn by_name<'c>(
    executor: impl AnyExecutor<'c>,
    user: UserId,
    name: &str,
) -> Result<Option<SshKey>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("{SELECT} WHERE user_id = $1 AND name = $2"));
    let row = sqlx::query(sql).bind(user.to_string()).bind(name).fetch_optional(executor).await?;
    row.as_ref().map(ssh_key).transpose()
}

/// Whether any user has the key of that fingerprint.
pub async fn is_registered<'c>(executor: impl AnyExecutor<'c>, fingerprint: &str) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM ssh_keys WHERE fingerprint = $1")
        .bind(fingerprint)
        .fetch_one(executor)
        .await?;
    Ok(integer(&row, "n")? > 0)
}

/// Removes a user's key; says whether there was one.
pub async fn delete<'c>(executor: impl AnyExecutor<'c>, user: UserId, name: &str) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM ssh_keys WHERE user_id = $1 AND name = $2")
        .bind(user.to_string())
        .bind(name)
        .execute(executor)
        .await?;
    Ok(done.rows_affected() > 0)
}
