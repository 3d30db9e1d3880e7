//! Instances.

use std::net::SocketAddr;

use sqlx::AnyExecutor;
use sqlx::any::AnyRow;

use super::StoreError;
use super::rows::{integer, maybe_parsed, narrow, parsed, text, time};
use crate::model::{AppId, Instance, InstanceId, InstanceState, ProcessType, Timestamp};

const SELECT: &str = "SELECT instances.*, releases.version AS version FROM instances JOIN releases ON releases.id = instances.release_id";

fn instance(row: &AnyRow) -> Result<Instance, StoreError> {
    Ok(Instance {
        id: parsed(row, "id")?,
        app_id: parsed(row, "app_id")?,
        release_id: parsed(row, "release_id")?,
        version: integer(row, "version")?,
        process: parsed(row, "process")?,
        number: narrow(row, "number")?,
        state: parsed(row, "state")?,
        operation_id: parsed(row, "operation_id")?,
        address: maybe_parsed(row, "address")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

/// Records an instance before anything of it exists in the engine.
pub async fn insert<'c>(executor: impl AnyExecutor<'c>, new: &Instance) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO instances (id, app_id, release_id, process, number, state, operation_id, address, created_at, \
         updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
    )
    .bind(new.id.to_string())
    .bind(new.app_id.to_string())
    .bind(new.release_id.to_string())
    .bind(new.process.as_str())
    .bind(i64::from(new.number))
    .bind(new.state.as_str())
    .bind(new.operation_id.as_str())
    .bind(new.address.map(|address| address.to_string()))
    .bind(new.created_at.millis())
    .execute(executor)
    .await?;
    Ok(())
}

/// An app's instances in any state, by process type and number, older first.
pub async fn of_app<'c>(executor: impl AnyExecutor<'c>, app: AppId) -> Result<Vec<Instance>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!(
        "{SELECT} WHERE instances.app_id = $1 ORDER BY process, number, instances.created_at"
    ));
    let rows = sqlx::query(sql).bind(app.to_string()).fetch_all(executor).await?;
    rows.iter().map(instance).collect()
}

/// The instance of that id.
pub async fn get<'c>(executor: impl AnyExecutor<'c>, id: InstanceId) -> Result<Option<Instance>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("{SELECT} WHERE instances.id = $1"));
    let row = sqlx::query(sql).bind(id.to_string()).fetch_optional(executor).await?;
    row.as_ref().map(instance).transpose()
}

/// Every instance of every app in one state.
pub async fn in_state<'c>(executor: impl AnyExecutor<'c>, state: InstanceState) -> Result<Vec<Instance>, StoreError> {
    let sql =
        sqlx::AssertSqlSafe(format!("{SELECT} WHERE instances.state = $1 ORDER BY instances.app_id, process, number"));
    let rows = sqlx::query(sql).bind(state.as_str()).fetch_all(executor).await?;
    rows.iter().map(instance).collect()
}

/// How many instances of all apps there are in each state that any is in.
pub async fn count_by_state<'c>(executor: impl AnyExecutor<'c>) -> Result<Vec<(InstanceState, i64)>, StoreError> {
    let sql = "SELECT state, COUNT(*) AS instances FROM instances GROUP BY state ORDER BY state";
    let rows = sqlx::query(sql).fetch_all(executor).await?;
    rows.iter().map(|row| Ok((parsed(row, "state")?, integer(row, "instances")?))).collect()
}

/// Notes where an instance answers.
pub async fn set_address<'c>(
    executor: impl AnyExecutor<'c>,
    id: InstanceId,
    address: Option<SocketAddr>,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE instances SET address = $2, updated_at = $3 WHERE id = $1")
        .bind(id.to_string())
        .bind(address.map(|address| address.to_string()))
        .bind(Timestamp::now().millis())
        .execute(executor)
        .await?;
    Ok(())
}

/// Ids of all instances of all apps, those of managed process groups among them.
pub async fn ids<'c>(executor: impl AnyExecutor<'c>) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT id FROM instances UNION ALL SELECT id FROM group_instances WHERE state <> 'terminated'";
    let rows = sqlx::query(sql).fetch_all(executor).await?;
    rows.iter().map(|row| text(row, "id")).collect()
}

/// Moves an instance on.
pub async fn set_state<'c>(
    executor: impl AnyExecutor<'c>,
    id: InstanceId,
    state: InstanceState,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE instances SET state = $2, updated_at = $3 WHERE id = $1")
        .bind(id.to_string())
        .bind(state.as_str())
        .bind(Timestamp::now().millis())
        .execute(executor)
        .await?;
    Ok(())
}

/// Takes an app's live instances of one type for stopped: nobody starts them until somebody asks for it.
pub async fn halt<'c>(executor: impl AnyExecutor<'c>, app: AppId, process: &ProcessType) -> Result<(), StoreError> {
    sqlx::query("UPDATE instances SET state = $3, updated_at = $4 WHERE app_id = $1 AND process = $2 AND state = $5")
        .bind(app.to_string())
        .bind(process.as_str())
        .bind(InstanceState::Halted.as_str())
        .bind(Timestamp::now().millis())
        .bind(InstanceState::Live.as_str())
        .execute(executor)
        .await?;
    Ok(())
}

/// Forgets an instance whose container is gone.
pub async fn delete<'c>(executor: impl AnyExecutor<'c>, id: InstanceId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM instances WHERE id = $1").bind(id.to_string()).execute(executor).await?;
    Ok(())
}
