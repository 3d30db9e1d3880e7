//! Facts about this installation that it makes up once.

use sqlx::{AnyExecutor, Row};

use super::StoreError;

/// Stores `value` under `name` unless a value is there already; yields the one that is there now.
pub async fn get_or_insert<'c>(
    executor: impl AnyExecutor<'c> + Copy,
    name: &str,
    value: &str,
) -> Result<String, StoreError> {
    sqlx::query("INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
        .bind(name)
        .bind(value)
        .execute(executor)
        .await?;
    let row = sqlx::query("SELECT value FROM settings WHERE name = $1").bind(name).fetch_one(executor).await?;
    Ok(row.try_get("value")?)
}
