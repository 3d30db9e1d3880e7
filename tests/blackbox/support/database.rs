//! A look into the server's database, and a hand that turns its clocks while the server is stopped.

use std::path::Path;

use sqlx::any::{AnyRow, install_default_drivers};
use sqlx::{AnyConnection, Connection, Row};

/// Where a server keeps its rows.
#[derive(Debug, Clone)]
pub struct Database {
    url: String,
}

impl Database {
    /// The file in a data folder.
    pub fn sqlite(data_dir: &Path) -> Self {
        Self { url: format!("sqlite://{}", data_dir.join("slipway.db").display()) }
    }

    /// A database of a PostgreSQL server.
    pub fn postgres(url: &str) -> Self {
        Self { url: url.to_owned() }
    }

    /// The first column of all rows.
    ///
    /// # Errors
    /// When there is no database or no such table yet.
    pub async fn texts(&self, sql: &'static str) -> Result<Vec<String>, String> {
        let read = async {
            let read_only = if self.url.starts_with("sqlite:") { "?mode=ro" } else { "" };
            let mut connection = self.connect(read_only).await?;
            let rows: Vec<AnyRow> = sqlx::query(sql).fetch_all(&mut connection).await?;
            let texts = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
            connection.close().await?;
            Ok(texts)
        };
        read.await.map_err(|error: sqlx::Error| format!("{sql}: {error}"))
    }

    /// Changes rows of a server that does not run.
    pub async fn change(&self, sql: &'static str) -> Result<(), String> {
        let written = async {
            let mut connection = self.connect("").await?;
            sqlx::query(sql).execute(&mut connection).await?;
            connection.close().await
        };
        written.await.map_err(|error: sqlx::Error| format!("{sql}: {error}"))
    }

    async fn connect(&self, options: &str) -> Result<AnyConnection, sqlx::Error> {
        install_default_drivers();
        AnyConnection::connect(&format!("{}{options}", self.url)).await
    }
}
