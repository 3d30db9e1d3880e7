//! Config snapshots, their values sealed.

use sqlx::any::AnyRow;
use sqlx::{AnyExecutor, Row};

use super::rows::{parsed, text, time};
use super::{Sealer, StoreError};
use crate::model::{AppId, Config, ConfigId, ConfigVars, Limits, Timestamp, UserId};

fn config(row: &AnyRow, sealer: &Sealer) -> Result<Config, StoreError> {
    let id: ConfigId = parsed(row, "id")?;
    let sealed: Vec<u8> = row.try_get("sealed_values")?;
    let plain = sealer.open(&sealed, &id.to_string())?;
    let corrupt = |column| move |_: serde_json::Error| StoreError::Corrupt { column, value: "not JSON".to_owned() };
    Ok(Config {
        id,
        app_id: parsed(row, "app_id")?,
        owner_id: parsed(row, "owner_id")?,
        owner: parsed(row, "owner")?,
        values: serde_json::from_slice(&plain).map_err(corrupt("sealed_values"))?,
        limits: serde_json::from_str(&text(row, "limits")?).map_err(corrupt("limits"))?,
        created_at: time(row, "created_at")?,
    })
}

/// Stores a snapshot.
pub async fn insert<'c>(
    executor: impl AnyExecutor<'c>,
    sealer: &Sealer,
    app: AppId,
    owner: UserId,
    values: &ConfigVars,
    limits: &Limits,
) -> Result<ConfigId, StoreError> {
    let id = ConfigId::new();
    let plain = serde_json::to_vec(values).expect("config values are JSON");
    sqlx::query(
        "INSERT INTO configs (id, app_id, owner_id, sealed_values, limits, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(id.to_string())
    .bind(app.to_string())
    .bind(owner.to_string())
    .bind(sealer.seal(&plain, &id.to_string()))
    .bind(serde_json::to_string(limits).expect("limits are JSON"))
    .bind(Timestamp::now().millis())
    .execute(executor)
    .await?;
    Ok(id)
}

/// The snapshot of that id.
pub async fn get<'c>(executor: impl AnyExecutor<'c>, sealer: &Sealer, id: ConfigId) -> Result<Config, StoreError> {
    let row = sqlx::query(
        "SELECT configs.*, users.username AS owner FROM configs JOIN users ON users.id = configs.owner_id \
         WHERE configs.id = $1",
    )
    .bind(id.to_string())
    .fetch_one(executor)
    .await?;
    config(&row, sealer)
}

/// Removes a snapshot that no release uses.
pub async fn delete<'c>(executor: impl AnyExecutor<'c>, id: ConfigId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM configs WHERE id = $1").bind(id.to_string()).execute(executor).await?;
    Ok(())
}

/// Removes an app's snapshots that no release refers to: what failed changes left.
pub async fn delete_unused<'c>(executor: impl AnyExecutor<'c>, app: AppId) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM configs WHERE app_id = $1 AND id NOT IN (SELECT config_id FROM releases WHERE app_id = $1)",
    )
    .bind(app.to_string())
    .execute(executor)
    .await?;
    Ok(())
}
