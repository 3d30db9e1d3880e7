//! A look into the server's database, read-only, and a hand that turns its clocks while the server is stopped.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row};

/// The first column of all rows.
///
/// # Errors
/// When there is no database or no such table yet.
pub async fn texts(data_dir: &Path, sql: &'static str) -> Result<Vec<String>, String> {
    let read = async {
        let options = SqliteConnectOptions::new().filename(data_dir.join("slipway.db")).read_only(true);
        let mut connection = options.connect().await?;
        let rows = sqlx::query(sql).fetch_all(&mut connection).await?;
        let texts = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        connection.close().await?;
        Ok(texts)
    };
    read.await.map_err(|error: sqlx::Error| format!("{sql}: {error}"))
}

/// Changes rows of a server that does not run.
pub async fn change(data_dir: &Path, sql: &'static str) -> Result<(), String> {
    let written = async {
        let options = SqliteConnectOptions::new().filename(data_dir.join("slipway.db"));
        let mut connection = options.connect().await?;
        sqlx::query(sql).execute(&mut connection).await?;
        connection.close().await
    };
    written.await.map_err(|error: sqlx::Error| format!("{sql}: {error}"))
}
