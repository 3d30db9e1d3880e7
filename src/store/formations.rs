//! Formations.

use std::collections::HashMap;

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

/// The formations of several apps; an app that was never scaled has none.
pub async fn of_apps<'c>(
    executor: impl AnyExecutor<'c>,
    apps: &[AppId],
) -> Result<HashMap<AppId, Formation>, StoreError> {
    let mut formations: HashMap<AppId, Formation> = HashMap::new();
    if apps.is_empty() {
        return Ok(formations);
    }
    let places = (1..=apps.len()).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
    let sql = format!("SELECT app_id, process, wanted FROM formations WHERE app_id IN ({places})");
    let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
    for app in apps {
        query = query.bind(app.to_string());
    }
    for row in query.fetch_all(executor).await? {
        let formation = formations.entry(parsed(&row, "app_id")?).or_default();
        formation.0.insert(parsed(&row, "process")?, narrow(&row, "wanted")?);
    }
    Ok(formations)
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
