//! Formations.

use sqlx::AnyExecutor;

use super::rows::{narrow, parsed};
use super::{StoreError, Transaction};
use crate::model::{AppId, Formation};

/// An app's formation; empty when it was never scaled.
pub async fn get<'c>(executor: impl AnyExecutor<'c>, app: AppId) -> Result<Formation, StoreError> {
    let rows = sqlx::query("SELECT process, wanted FROM formations WHERE app_id = $1")
        .bind(app.to_string())
        .fetch_all(executor)
        .await?;
    rows.iter()
        .map(|row| Ok((parsed(row, "process")?, narrow(row, "wanted")?)))
        .collect::<Result<_, _>>()
        .map(Formation)
}

/// Replaces an app's formation.
pub async fn replace(tx: &mut Transaction, app: AppId, formation: &Formation) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM formations WHERE app_id = $1").bind(app.to_string()).execute(&mut **tx).await?;
    for (process, wanted) in &formation.0 {
        sqlx::query("INSERT INTO formations (app_id, process, wanted) VALUES ($1, $2, $3)")
            .bind(app.to_string())
            .bind(process.as_str())
            .bind(i64::from(*wanted))
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}
