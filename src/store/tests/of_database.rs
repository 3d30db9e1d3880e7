//! Migrations, transactions, and values that are not what they should be.

use super::databases::sealer;
use super::*;

on_both!(
    migrations_run_again_without_harm,
    a_schema_from_the_future_is_refused,
    a_transaction_that_is_dropped_leaves_nothing,
    a_setting_is_made_up_once,
    a_value_that_makes_no_sense_is_named,
    a_closed_store_answers_nothing,
);

async fn migrations_run_again_without_harm(db: Database) {
    user(&db, "alice").await;
    for _ in 0..2 {
        let again = Store::open(&db.url, sealer()).await.unwrap();
        assert!(users::by_name(again.pool(), "alice").await.unwrap().is_some());
        again.close().await;
    }
}

async fn a_schema_from_the_future_is_refused(db: Database) {
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         SELECT 999999, 'future', success, checksum, execution_time FROM _sqlx_migrations WHERE version = 1",
    )
    .execute(db.store.pool())
    .await
    .unwrap();
    let refused = Store::open(&db.url, sealer()).await.err().unwrap();
    assert!(matches!(refused, StoreError::Migration(_)), "{refused:?}");
}

async fn a_transaction_that_is_dropped_leaves_nothing(db: Database) {
    let mut tx = db.store.begin().await.unwrap();
    users::insert(&mut tx, db.store.sealer(), &new_user("alice")).await.unwrap();
    drop(tx);
    assert!(users::by_name(db.store.pool(), "alice").await.unwrap().is_none());
    assert_eq!(user(&db, "alice").await.number, 1);
}

async fn a_setting_is_made_up_once(db: Database) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let store = db.store.clone();
        tasks.spawn(async move { settings::get_or_insert(store.pool(), "server", &n.to_string()).await.unwrap() });
    }
    let values = tasks.join_all().await;
    assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
    assert_eq!(settings::get_or_insert(db.store.pool(), "server", "x").await.unwrap(), values[0]);
    assert_eq!(settings::get_or_insert(db.store.pool(), "other", "x").await.unwrap(), "x");
}

async fn a_value_that_makes_no_sense_is_named(db: Database) {
    let app = app(&db, &user(&db, "alice").await, "hello").await;
    let pool = db.store.pool();
    operations::begin(pool, OperationKind::Scale, &app, "alice").await.unwrap();
    sqlx::query("UPDATE operations SET step = 'nonsense'").execute(pool).await.unwrap();
    let error = operations::live_of(pool, app.id).await.unwrap_err();
    assert_eq!(error.to_string(), "column step holds 'nonsense', which is not valid there");
    sqlx::query("INSERT INTO formations (app_id, process, wanted) VALUES ($1, 'web', -1)")
        .bind(app.id.to_string())
        .execute(pool)
        .await
        .unwrap();
    let error = formations::get(pool, app.id).await.unwrap_err();
    assert_eq!(error.to_string(), "column wanted holds '-1', which is not valid there");
}

async fn a_closed_store_answers_nothing(db: Database) {
    db.store.close().await;
    let refused = users::by_name(db.store.pool(), "alice").await;
    assert!(matches!(refused, Err(StoreError::Database(sqlx::Error::PoolClosed))), "{refused:?}");
}

/// SQLite only: PostgreSQL at its default isolation loses such updates, which is why no function of the store depends on
/// reading a value, changing it, and writing it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_tasks_that_read_and_write_back_lose_nothing_on_sqlite() {
    super::databases::on_sqlite(async |db: Database| {
        let pool = db.store.pool();
        settings::get_or_insert(pool, "counter", "0").await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let store = db.store.clone();
            tasks.spawn(async move {
                for _ in 0..10 {
                    let mut tx = store.begin().await.unwrap();
                    let row = sqlx::query("SELECT value FROM settings WHERE name = 'counter'");
                    let value: String = sqlx::Row::get(&row.fetch_one(&mut *tx).await.unwrap(), 0);
                    tokio::task::yield_now().await;
                    sqlx::query("UPDATE settings SET value = $1 WHERE name = 'counter'")
                        .bind((value.parse::<i64>().unwrap() + 1).to_string())
                        .execute(&mut *tx)
                        .await
                        .unwrap();
                    tx.commit().await.unwrap();
                }
            });
        }
        tasks.join_all().await;
        assert_eq!(settings::get_or_insert(pool, "counter", "0").await.unwrap(), "160");
    })
    .await;
}
