//! Routing settings of apps: one row for each that was chosen.

use std::collections::HashMap;

use sqlx::AnyExecutor;
use sqlx::any::AnyRow;

use super::StoreError;
use super::rows::{parsed, text};
use crate::model::{AppId, Routing, RoutingField};

fn lay(row: &AnyRow, routing: &mut Routing) -> Result<(), StoreError> {
    let (field, value): (RoutingField, _) = (parsed(row, "field")?, text(row, "value")?);
    routing.set(field, &value).map_err(|_| StoreError::Corrupt { column: "value", value })
}

/// An app's settings: the defaults with what was chosen laid over them.
pub async fn get<'c>(executor: impl AnyExecutor<'c>, app: AppId) -> Result<Routing, StoreError> {
    let query = sqlx::query("SELECT field, value FROM routing_settings WHERE app_id = $1").bind(app.to_string());
    let mut routing = Routing::default();
    for row in query.fetch_all(executor).await? {
        lay(&row, &mut routing)?;
    }
    Ok(routing)
}

/// The settings of every app that chose any.
pub async fn all<'c>(executor: impl AnyExecutor<'c>) -> Result<HashMap<AppId, Routing>, StoreError> {
    let mut found: HashMap<AppId, Routing> = HashMap::new();
    for row in sqlx::query("SELECT app_id, field, value FROM routing_settings").fetch_all(executor).await? {
        lay(&row, found.entry(parsed(&row, "app_id")?).or_default())?;
    }
    Ok(found)
}

/// Chooses a value. Says whether it did: an app that is being destroyed takes none.
pub async fn set<'c>(
    executor: impl AnyExecutor<'c>,
    app: AppId,
    field: RoutingField,
    value: &str,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO routing_settings (app_id, field, value) \
         SELECT id, $2, $3 FROM apps WHERE id = $1 AND is_destroying = 0 \
         ON CONFLICT (app_id, field) DO UPDATE SET value = excluded.value",
    )
    .bind(app.to_string())
    .bind(field.as_str())
    .bind(value)
    .execute(executor)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Goes back to the default.
pub async fn reset<'c>(executor: impl AnyExecutor<'c>, app: AppId, field: RoutingField) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM routing_settings WHERE app_id = $1 AND field = $2")
        .bind(app.to_string())
        .bind(field.as_str())
        .execute(executor)
        .await?;
    Ok(())
}
