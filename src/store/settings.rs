//! Facts about this installation that it makes up itself.

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

/// Stores `value` under `name`, in place of what was there.
pub async fn set<'c>(executor: impl AnyExecutor<'c>, name: &str, value: &str) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(name)
    .bind(value)
    .execute(executor)
    .await?;
    Ok(())
}

/// Whether `value` is there under `name`.
pub async fn has<'c>(executor: impl AnyExecutor<'c>, name: &str, value: &str) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT 1 FROM settings WHERE name = $1 AND value = $2").bind(name).bind(value);
    Ok(row.fetch_optional(executor).await?.is_some())
}

/// Takes the value out, if it is `value`; whether it was.
pub async fn take<'c>(executor: impl AnyExecutor<'c>, name: &str, value: &str) -> Result<bool, StoreError> {
    let taken = sqlx::query("DELETE FROM settings WHERE name = $1 AND value = $2").bind(name).bind(value);
    Ok(taken.execute(executor).await?.rows_affected() > 0)
}
