//! Records of attempts to build.

use super::*;
use crate::model::{BuildRecord, Phase, SourceKind};
use crate::store::build_records::{self, Ending, NewRecord, Yield};

on_both!(
    an_attempt_is_recorded_from_its_beginning_to_its_end,
    attempts_that_never_ended_have_failed,
    only_the_newest_records_are_kept,
);

async fn begin(db: &Database, app: &App) -> BuildId {
    let id = BuildId::new();
    let new = NewRecord {
        id,
        app: app.id,
        actor: "alice".to_owned(),
        source_kind: SourceKind::Commit,
        source: "0123456789abcdef".to_owned(),
    };
    build_records::insert(db.store.pool(), &new).await.unwrap();
    id
}

async fn get(db: &Database, id: BuildId) -> Option<BuildRecord> {
    build_records::get(db.store.pool(), id).await.unwrap()
}

async fn end(db: &Database, id: BuildId, status: BuildStatus) {
    let phases = vec![Phase { name: "Compiling \"it\"".to_owned(), millis: 1234 }];
    let error = if status == BuildStatus::Failed { "no\nway" } else { "" };
    let ending = Ending { status, phases, error: error.to_owned() };
    build_records::end(db.store.pool(), id, &ending).await.unwrap();
}

async fn an_attempt_is_recorded_from_its_beginning_to_its_end(db: Database) {
    let app = app(&db, &user(&db, "alice").await, "hello").await;
    let (earlier, id) = (BuildId::new(), begin(&db, &app).await);
    let pending = get(&db, id).await.unwrap();
    assert_eq!(
        (pending.status, pending.source_kind, pending.actor.as_str()),
        (BuildStatus::Pending, SourceKind::Commit, "alice")
    );
    assert_eq!((pending.app_id, pending.source.as_str(), pending.error.as_str()), (app.id, "0123456789abcdef", ""));
    assert_eq!((pending.digest, pending.size_bytes, pending.reused, pending.ended_at), (None, None, None, None));
    assert!(pending.phases.is_empty());

    let found = Yield { reused: Some(earlier), digest: "sha256:1".to_owned(), size_bytes: 1 << 40 };
    build_records::set_yield(db.store.pool(), id, &found).await.unwrap();
    end(&db, id, BuildStatus::Failed).await;
    let ended = get(&db, id).await.unwrap();
    assert_eq!((ended.status, ended.error.as_str(), ended.reused), (BuildStatus::Failed, "no\nway", Some(earlier)));
    assert_eq!((ended.digest.as_deref(), ended.size_bytes), (Some("sha256:1"), Some(1 << 40)));
    assert_eq!(ended.phases, [Phase { name: "Compiling \"it\"".to_owned(), millis: 1234 }]);
    assert!(ended.ended_at.is_some_and(|at| at >= ended.started_at));
    assert!(get(&db, earlier).await.is_none());
}

async fn attempts_that_never_ended_have_failed(db: Database) {
    let alice = user(&db, "alice").await;
    let (one, other) = (app(&db, &alice, "one").await, app(&db, &alice, "other").await);
    let (open, ended, elsewhere) = (begin(&db, &one).await, begin(&db, &one).await, begin(&db, &other).await);
    end(&db, ended, BuildStatus::Succeeded).await;
    build_records::fail_pending(db.store.pool(), one.id, "interrupted").await.unwrap();
    let open = get(&db, open).await.unwrap();
    assert_eq!((open.status, open.error.as_str()), (BuildStatus::Failed, "interrupted"));
    assert_eq!(get(&db, ended).await.unwrap().status, BuildStatus::Succeeded);
    assert_eq!(get(&db, elsewhere).await.unwrap().status, BuildStatus::Pending);
}

async fn only_the_newest_records_are_kept(db: Database) {
    let alice = user(&db, "alice").await;
    let (one, other) = (app(&db, &alice, "one").await, app(&db, &alice, "other").await);
    let (open, elsewhere) = (begin(&db, &one).await, begin(&db, &other).await);
    end(&db, elsewhere, BuildStatus::Succeeded).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        tick().await;
        let id = begin(&db, &one).await;
        end(&db, id, BuildStatus::Succeeded).await;
        ids.push(id);
    }
    let forgotten = build_records::delete_old(db.store.pool(), one.id, 2).await.unwrap();
    assert_eq!(forgotten, ids[..1]);
    let left = build_records::list(db.store.pool(), one.id, Page::ALL).await.unwrap();
    let left: Vec<BuildId> = left.iter().map(|record| record.id).collect();
    assert_eq!(left, [ids[2], ids[1], open], "newest first, and one that goes on stays");
    assert_eq!(build_records::count(db.store.pool(), one.id).await.unwrap(), 3);
    assert!(get(&db, elsewhere).await.is_some());
    let window = Page { offset: 1, limit: 1 };
    assert_eq!(build_records::list(db.store.pool(), one.id, window).await.unwrap()[0].id, ids[1]);
}
