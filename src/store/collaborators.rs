//! Collaborators: people whom an app's owner lets work with it.

use sqlx::AnyExecutor;

use super::StoreError;
use super::rows::{integer, parsed};
use crate::model::{AppId, Timestamp, UserId, Username};

/// Makes a user a collaborator; says whether they were none before.
pub async fn insert<'c>(executor: impl AnyExecutor<'c>, app: AppId, user: UserId) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO collaborators (app_id, user_id, created_at) VALUES ($1, $2, $3) \
         ON CONFLICT (app_id, user_id) DO NOTHING",
    )
    .bind(app.to_string())
    .bind(user.to_string())
    .bind(Timestamp::now().millis())
    .execute(executor)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Whether the user is a collaborator of the app.
pub async fn contains<'c>(executor: impl AnyExecutor<'c>, app: AppId, user: UserId) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM collaborators WHERE app_id = $1 AND user_id = $2")
        .bind(app.to_string())
        .bind(user.to_string())
        .fetch_one(executor)
        .await?;
    Ok(integer(&row, "n")? > 0)
}

/// Names of an app's collaborators, in the order in which they were let in.
pub async fn names<'c>(executor: impl AnyExecutor<'c>, app: AppId) -> Result<Vec<Username>, StoreError> {
    let rows = sqlx::query(
        "SELECT users.username AS name FROM collaborators JOIN users ON users.id = collaborators.user_id \
         WHERE collaborators.app_id = $1 ORDER BY collaborators.created_at, users.number",
    )
    .bind(app.to_string())
    .fetch_all(executor)
    .await?;
    rows.iter().map(|row| parsed(row, "name")).collect()
}

/// Ends a collaboration; says whether there was one.
pub async fn delete<'c>(executor: impl AnyExecutor<'c>, app: AppId, user: UserId) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM collaborators WHERE app_id = $1 AND user_id = $2")
        .bind(app.to_string())
        .bind(user.to_string())
        .execute(executor)
        .await?;
    Ok(done.rows_affected() > 0)
}
