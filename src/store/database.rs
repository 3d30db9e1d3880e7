//! The pool: which database, how its connections behave, how a writing transaction begins.

use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::{Any, AnyPool, Executor};

use super::{Sealer, StoreError};

/// A transaction on either database.
pub type Transaction = sqlx::Transaction<'static, Any>;

/// WAL lets readers go on while one writes. FULL makes an acknowledged change survive a power cut.
const SQLITE_SETTINGS: &str = "PRAGMA journal_mode=WAL; PRAGMA busy_timeout=10000; \
                               PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;";

/// Every query is a lookup by index, so one plan serves all values. By its statistics PostgreSQL would plan again for each
/// execution where few people own most of the apps, which costs more than the lookup, or read whole tables; and what it
/// cannot avoid to read whole is too little to compile a program for.
const POSTGRES_SETTINGS: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off;";

/// The database, and the key that seals what is secret in it. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: AnyPool,
    is_sqlite: bool,
    sealer: Arc<Sealer>,
}

impl Store {
    /// Connects to `url` (`sqlite://path?mode=rwc` or `postgres://...`) and brings the schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing answers within 10 s, [`StoreError::Migration`] when the schema is newer than
    /// this program or a migration fails.
    pub async fn open(url: &str, sealer: Sealer) -> Result<Self, StoreError> {
        install_default_drivers();
        let is_sqlite = url.starts_with("sqlite:");
        let pool = AnyPoolOptions::new()
            .max_connections(if is_sqlite { 8 } else { 16 })
            .acquire_timeout(Duration::from_secs(10))
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    connection.execute(if is_sqlite { SQLITE_SETTINGS } else { POSTGRES_SETTINGS }).await?;
                    Ok(())
                })
            })
            .connect(url)
            .await?;
        sqlx::migrate!("./migrations").run(&pool).await?;
        Ok(Self { pool, is_sqlite, sealer: Arc::new(sealer) })
    }

    /// For single statements.
    pub fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Seals and opens secrets, derives tokens.
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// Begins a transaction that will write.
    ///
    /// On SQLite it takes the write lock at once: a transaction that reads first and writes later would fail as
    /// "database is locked" whenever another one wrote in between.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        let begin = if self.is_sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" };
        Ok(self.pool.begin_with(begin).await?)
    }

    /// Closes all connections, after what they are doing.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
