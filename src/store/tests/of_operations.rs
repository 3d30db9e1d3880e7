//! Operations: the lock of each app, and the record of what was done.

use super::*;

on_both!(
    of_twenty_operations_at_once_exactly_one_begins,
    apps_do_not_wait_for_each_other,
    an_operation_records_what_it_does,
    an_ended_operation_stays_as_it_ended,
    live_operations_are_listed_oldest_first,
    only_old_ended_operations_are_forgotten,
    a_journal_records_legal_steps_only,
    a_step_in_a_transaction_happens_with_it_or_not_at_all,
);

async fn begin(db: &Database, app: &App) -> Result<Operation, StoreError> {
    operations::begin(db.store.pool(), OperationKind::Push, app, "alice").await
}

async fn live_of(db: &Database, app: &App) -> Option<Operation> {
    operations::live_of(db.store.pool(), app.id).await.unwrap()
}

async fn of_twenty_operations_at_once_exactly_one_begins(db: Database) {
    let app = app(&db, &user(&db, "alice").await, "hello").await;
    for round in 0..3 {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (store, app) = (db.store.clone(), app.clone());
            tasks.spawn(async move { operations::begin(store.pool(), OperationKind::Push, &app, "alice").await });
        }
        let results = tasks.join_all().await;
        let (begun, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!((begun.len(), refused.len()), (1, 19), "round {round}");
        assert!(refused.iter().all(|result| matches!(result, Err(StoreError::Duplicate))), "{refused:?}");
        let winner = begun.into_iter().next().unwrap().unwrap();
        assert_eq!(live_of(&db, &app).await.unwrap().id, winner.id);
        operations::finish(db.store.pool(), &winner.id, OperationStatus::Succeeded, "").await.unwrap();
        assert!(live_of(&db, &app).await.is_none());
    }
}

async fn apps_do_not_wait_for_each_other(db: Database) {
    let alice = user(&db, "alice").await;
    let (one, two) = (app(&db, &alice, "one").await, app(&db, &alice, "two").await);
    let first = begin(&db, &one).await.unwrap();
    let second = begin(&db, &two).await.unwrap();
    operations::finish(db.store.pool(), &first.id, OperationStatus::Failed, "no").await.unwrap();
    assert_eq!(live_of(&db, &two).await.unwrap().id, second.id);
}

async fn an_operation_records_what_it_does(db: Database) {
    let app = app(&db, &user(&db, "alice").await, "hello").await;
    let config = config(&db, &app).await;
    let release = release(&db, &app, config, ReleaseStatus::Pending).await;
    let begun = begin(&db, &app).await.unwrap();
    assert_eq!((begun.kind, begun.status, begun.step), (OperationKind::Push, OperationStatus::Running, Step::Accepted));
    assert_eq!((begun.app_id, begun.app_name.as_str(), begun.actor.as_str()), (app.id, "hello", "alice"));
    assert_eq!((begun.release_id, begun.error.as_str(), begun.finished_at), (None, "", None));
    assert_eq!(begun.started_at, begun.heartbeat_at);
    let pool = db.store.pool();
    tick().await;
    operations::set_step(pool, &begun.id, Step::Release).await.unwrap();
    operations::set_release(pool, &begun.id, release.id).await.unwrap();
    let stepped = live_of(&db, &app).await.unwrap();
    assert_eq!((stepped.step, stepped.release_id), (Step::Release, Some(release.id)));
    assert!(stepped.heartbeat_at > begun.heartbeat_at, "a step is a sign of life");
    tick().await;
    operations::heartbeat(pool, &begun.id).await.unwrap();
    let alive = live_of(&db, &app).await.unwrap();
    assert!(alive.heartbeat_at > stepped.heartbeat_at && alive.started_at == begun.started_at);
}

async fn an_ended_operation_stays_as_it_ended(db: Database) {
    let app = app(&db, &user(&db, "alice").await, "hello").await;
    let pool = db.store.pool();
    let ended = begin(&db, &app).await.unwrap();
    operations::finish(pool, &ended.id, OperationStatus::Failed, "no disk").await.unwrap();
    let next = begin(&db, &app).await.unwrap();
    let stored = async || {
        let row = sqlx::query("SELECT * FROM operations WHERE id = $1").bind(ended.id.as_str());
        let row = row.fetch_one(pool).await.unwrap();
        let text = |name: &str| sqlx::Row::get::<Option<String>, _>(&row, name);
        let time = |name: &str| sqlx::Row::get::<Option<i64>, _>(&row, name);
        (text("status"), text("error"), text("lock_key"), time("heartbeat_at"), time("finished_at"))
    };
    let before = stored().await;
    assert_eq!(
        (before.0.as_deref(), before.1.as_deref(), before.2.as_deref()),
        (Some("failed"), Some("no disk"), None)
    );
    assert!(before.4.is_some());
    tick().await;
    operations::finish(pool, &ended.id, OperationStatus::Succeeded, "").await.unwrap();
    operations::heartbeat(pool, &ended.id).await.unwrap();
    assert_eq!(stored().await, before);
    assert_eq!(live_of(&db, &app).await.unwrap().id, next.id, "the next one's lock is not given back");
}

async fn live_operations_are_listed_oldest_first(db: Database) {
    let alice = user(&db, "alice").await;
    let mut begun = Vec::new();
    for name in ["z", "m", "a"] {
        tick().await;
        begun.push(begin(&db, &app(&db, &alice, name).await).await.unwrap().id);
    }
    operations::finish(db.store.pool(), &begun[1], OperationStatus::Cancelled, "").await.unwrap();
    let live = operations::live(db.store.pool()).await.unwrap();
    assert_eq!(
        live.into_iter().map(|operation| operation.id).collect::<Vec<_>>(),
        [begun[0].clone(), begun[2].clone()]
    );
}

async fn only_old_ended_operations_are_forgotten(db: Database) {
    let app = app(&db, &user(&db, "alice").await, "hello").await;
    let pool = db.store.pool();
    let ended = begin(&db, &app).await.unwrap();
    operations::finish(pool, &ended.id, OperationStatus::Succeeded, "").await.unwrap();
    let live = begin(&db, &app).await.unwrap();
    tick().await;
    assert_eq!(operations::delete_ended(pool, Duration::from_secs(3600)).await.unwrap(), 0);
    assert_eq!(operations::delete_ended(pool, Duration::MAX).await.unwrap(), 0);
    assert_eq!(operations::delete_ended(pool, Duration::ZERO).await.unwrap(), 1);
    assert_eq!(operations::delete_ended(pool, Duration::ZERO).await.unwrap(), 0);
    assert_eq!(live_of(&db, &app).await.unwrap().id, live.id);
}

async fn a_journal_records_legal_steps_only(db: Database) {
    let app = app(&db, &user(&db, "alice").await, "hello").await;
    let mut journal = Journal::new(db.store.clone(), begin(&db, &app).await.unwrap());
    journal.step(Step::Build).await.unwrap();
    let illegal = journal.step(Step::Switch).await;
    assert!(matches!(illegal, Err(JournalError::Illegal(IllegalStep { from: Step::Build, to: Step::Switch, .. }))));
    assert_eq!(journal.operation().step, Step::Build);
    assert_eq!(live_of(&db, &app).await.unwrap().step, Step::Build);
    journal.finish(OperationStatus::Cancelled, "called off").await.unwrap();
    assert!(live_of(&db, &app).await.is_none());
}

async fn a_step_in_a_transaction_happens_with_it_or_not_at_all(db: Database) {
    let app = app(&db, &user(&db, "alice").await, "hello").await;
    let operation = begin(&db, &app).await.unwrap();
    for commits in [false, true] {
        let mut journal = Journal::new(db.store.clone(), operation.clone());
        let mut tx = db.store.begin().await.unwrap();
        journal.step_in(&mut tx, Step::Build).await.unwrap();
        let expect = if commits { Step::Build } else { Step::Accepted };
        if commits {
            tx.commit().await.unwrap()
        } else {
            tx.rollback().await.unwrap()
        }
        assert_eq!(live_of(&db, &app).await.unwrap().step, expect);
    }
}
