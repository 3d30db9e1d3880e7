//! A database full of what other people have: apps with configs and releases that no measured request asks for.

use anyhow::Result;
use sqlx::any::{AnyPoolOptions, install_default_drivers};

/// Apps of others.
pub const APPS: i64 = 9_990;
/// Releases of those apps together, each with a config of its own.
pub const RELEASES: i64 = 1_000_000;

/// Counts from 1 to `$1`, on either database.
const NUMBERS: &str = "WITH RECURSIVE n(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < $1)";

/// An id of some kind for the number `n.i`.
fn id(kind: &str, number: &str) -> String {
    let digits = format!("'000000000000' || CAST({number} AS TEXT)");
    format!("'00000000-0000-4000-{kind}-' || substr({digits}, length({digits}) - 11, 12)")
}

/// Gives `owner` apps that nothing was ever deployed to, with the numbers from `first` to `last`, in the database at `url`,
/// which has no server at the moment.
pub async fn add_apps(url: &str, owner: &str, first: i64, last: i64) -> Result<()> {
    install_default_drivers();
    let pool = AnyPoolOptions::new().max_connections(1).connect(url).await?;
    let (app, config, release) = (id("a000", "i"), id("b000", "i"), id("9000", "i"));
    let (numbers, owner_id) = (NUMBERS, "(SELECT id FROM users WHERE username = $2)");
    let queries = [
        format!(
            "{numbers} INSERT INTO apps (id, name, owner_id, is_destroying, created_at, updated_at) \
             SELECT {app}, 'other-' || CAST(i AS TEXT), {owner_id}, 0, 1700000000000 + i, 1700000000000 + i FROM n \
             WHERE i >= $3"
        ),
        format!(
            "{numbers} INSERT INTO configs (id, app_id, owner_id, sealed_values, limits, created_at) \
             SELECT {config}, {app}, {owner_id}, $4, '{{}}', 1700000000000 + i FROM n WHERE i >= $3"
        ),
        format!(
            "{numbers} INSERT INTO releases (id, app_id, owner_id, version, config_id, status, summary, created_at, \
             updated_at) SELECT {release}, {app}, {owner_id}, 1, {config}, 'deployed', 'first', 1700000000000 + i, \
             1700000000000 + i FROM n WHERE i >= $3"
        ),
    ];
    for sql in queries {
        let has_values = sql.contains("$4");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(last).bind(owner.to_owned()).bind(first);
        let query = if has_values { query.bind(vec![0_u8; 64]) } else { query };
        query.execute(&pool).await?;
    }
    pool.close().await;
    Ok(())
}

/// Gives `owner` all of that, in the database at `url`, which has no server at the moment.
pub async fn fill(url: &str, owner: &str) -> Result<()> {
    install_default_drivers();
    let pool = AnyPoolOptions::new().max_connections(1).connect(url).await?;
    let (app, config, release) = (id("a000", "i"), id("b000", "i"), id("9000", "i"));
    let app_of = id("a000", &format!("(1 + i % {APPS})"));
    let owner_id = "(SELECT id FROM users WHERE username = $2)";
    let apps = format!(
        "{NUMBERS} INSERT INTO apps (id, name, owner_id, is_destroying, created_at, updated_at) \
         SELECT {app}, 'other-' || CAST(i AS TEXT), {owner_id}, 0, 1700000000000 + i, 1700000000000 + i FROM n"
    );
    let configs = format!(
        "{NUMBERS} INSERT INTO configs (id, app_id, owner_id, sealed_values, limits, created_at) \
         SELECT {config}, {app_of}, {owner_id}, $3, '{{}}', 1700000000000 + i FROM n"
    );
    let releases = format!(
        "{NUMBERS} INSERT INTO releases (id, app_id, owner_id, version, config_id, status, summary, created_at, updated_at) \
         SELECT {release}, {app_of}, {owner_id}, 1 + i / {APPS}, {config}, 'deployed', 'other added KEY', \
         1700000000000 + i, 1700000000000 + i FROM n"
    );
    for (sql, count) in [(apps, APPS), (configs, RELEASES), (releases, RELEASES)] {
        let has_values = sql.contains("$3");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(count).bind(owner.to_owned());
        let query = if has_values { query.bind(vec![0_u8; 64]) } else { query };
        query.execute(&pool).await?;
    }
    if url.starts_with("postgres:") {
        // What autovacuum would have done by the time that so much is there.
        sqlx::raw_sql("ANALYZE").execute(&pool).await?;
    }
    pool.close().await;
    Ok(())
}
