//! API keys. A user may hold several; only their digests are stored.

use sqlx::AnyExecutor;

use super::rows::integer;
use super::{StoreError, Transaction, digest, users};
use crate::model::{Timestamp, User, UserId};

/// Adds a key to those of a user, and forgets the oldest beyond `most`.
pub async fn insert(tx: &mut Transaction, user: UserId, key: &str, most: i64) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO api_keys (digest, user_id, created_at) VALUES ($1, $2, $3)")
        .bind(digest(key))
        .bind(user.to_string())
        .bind(Timestamp::now().millis())
        .execute(&mut **tx)
        .await?;
    // Of keys of the same moment any may go but the one that was just made.
    sqlx::query(
        "DELETE FROM api_keys WHERE user_id = $1 AND digest <> $2 AND digest NOT IN \
         (SELECT digest FROM api_keys WHERE user_id = $1 AND digest <> $2 ORDER BY created_at DESC, digest LIMIT $3)",
    )
    .bind(user.to_string())
    .bind(digest(key))
    .bind(most - 1)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The account whose key this is. Only digests are compared, by the index, so time tells nothing about the key.
pub async fn user_of<'c>(executor: impl AnyExecutor<'c>, key: &str) -> Result<Option<User>, StoreError> {
    let row = sqlx::query(
        "SELECT users.* FROM users JOIN api_keys ON api_keys.user_id = users.id WHERE api_keys.digest = $1",
    )
    .bind(digest(key))
    .fetch_optional(executor)
    .await?;
    row.as_ref().map(users::user).transpose()
}

/// How many keys a user holds.
pub async fn count<'c>(executor: impl AnyExecutor<'c>, user: UserId) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM api_keys WHERE user_id = $1")
        .bind(user.to_string())
        .fetch_one(executor)
        .await?;
    integer(&row, "n")
}

/// Forgets all keys of a user.
pub async fn delete_of<'c>(executor: impl AnyExecutor<'c>, user: UserId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM api_keys WHERE user_id = $1").bind(user.to_string()).execute(executor).await?;
    Ok(())
}
