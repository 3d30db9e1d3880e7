//! Releases and their numbers.

use super::*;

on_both!(
    releases_are_numbered_from_one_per_app,
    only_deployed_releases_are_seen,
    the_number_of_a_pending_release_that_is_removed_is_used_again,
    releases_cut_at_the_same_time_get_numbers_of_their_own,
    a_release_with_instances_cannot_be_removed,
);

async fn releases_are_numbered_from_one_per_app(db: Database) {
    let alice = user(&db, "alice").await;
    for name in ["hello", "other"] {
        let app = app(&db, &alice, name).await;
        let config = config(&db, &app).await;
        for version in 1..=3 {
            let release = release(&db, &app, config, ReleaseStatus::Deployed).await;
            assert_eq!((release.version, release.app_id, release.config_id), (version, app.id, config));
            assert_eq!((release.owner.as_str(), release.summary.as_str()), ("alice", "alice did something"));
            assert_eq!((release.build_id, release.status), (None, ReleaseStatus::Deployed));
            let same = releases::by_id(db.store.pool(), release.id).await.unwrap().unwrap();
            assert_eq!((same.id, same.version, same.created_at), (release.id, version, release.created_at));
        }
    }
    assert!(releases::by_id(db.store.pool(), ReleaseId::new()).await.unwrap().is_none());
}

async fn only_deployed_releases_are_seen(db: Database) {
    let app = app(&db, &user(&db, "alice").await, "hello").await;
    let config = config(&db, &app).await;
    let pool = db.store.pool();
    assert!(releases::latest(pool, app.id).await.unwrap().is_none());
    for _ in 0..3 {
        release(&db, &app, config, ReleaseStatus::Deployed).await;
    }
    let pending = release(&db, &app, config, ReleaseStatus::Pending).await;
    let latest = async || releases::latest(pool, app.id).await.unwrap().unwrap().version;
    let list = async |page| {
        let releases = releases::list(pool, app.id, page).await.unwrap();
        releases.into_iter().map(|release| release.version).collect::<Vec<_>>()
    };
    assert_eq!(latest().await, 3);
    assert_eq!(list(Page::ALL).await, [3, 2, 1]);
    assert_eq!(list(Page { offset: 1, limit: 1 }).await, [2]);
    assert_eq!(releases::count(pool, app.id).await.unwrap(), 3);
    assert!(releases::by_version(pool, app.id, 4).await.unwrap().is_none());
    assert_eq!(releases::by_version(pool, app.id, 2).await.unwrap().unwrap().version, 2);

    tick().await;
    releases::mark_deployed(pool, pending.id).await.unwrap();
    assert_eq!(latest().await, 4);
    assert_eq!(list(Page::ALL).await, [4, 3, 2, 1]);
    let deployed = releases::by_version(pool, app.id, 4).await.unwrap().unwrap();
    assert!(deployed.updated_at > pending.updated_at && deployed.id == pending.id);
}

async fn the_number_of_a_pending_release_that_is_removed_is_used_again(db: Database) {
    let alice = user(&db, "alice").await;
    let (app, other) = (app(&db, &alice, "hello").await, app(&db, &alice, "other").await);
    let (config, other_config) = (config(&db, &app).await, config(&db, &other).await);
    release(&db, &app, config, ReleaseStatus::Deployed).await;
    let pending = release(&db, &app, config, ReleaseStatus::Pending).await;
    let kept = release(&db, &other, other_config, ReleaseStatus::Pending).await;
    let pool = db.store.pool();
    releases::delete_pending(pool, app.id).await.unwrap();
    assert!(releases::by_id(pool, pending.id).await.unwrap().is_none());
    assert!(releases::by_id(pool, kept.id).await.unwrap().is_some(), "another app's");
    let next = release(&db, &app, config, ReleaseStatus::Deployed).await;
    assert_eq!(next.version, pending.version);
    assert_ne!(next.id, pending.id);
    releases::delete_pending(pool, app.id).await.unwrap();
    assert_eq!(releases::count(pool, app.id).await.unwrap(), 2);
}

async fn releases_cut_at_the_same_time_get_numbers_of_their_own(db: Database) {
    let app = app(&db, &user(&db, "alice").await, "hello").await;
    let new = new_release(&app, config(&db, &app).await, ReleaseStatus::Deployed);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (store, new) = (db.store.clone(), new.clone());
        tasks.spawn(async move {
            let deadline = Instant::now() + Duration::from_secs(20);
            loop {
                assert!(Instant::now() < deadline, "no number in 20 s");
                let mut tx = store.begin().await.unwrap();
                match releases::insert(&mut tx, &new).await {
                    Ok(release) => {
                        tx.commit().await.unwrap();
                        return release.version;
                    }
                    Err(StoreError::Duplicate) => tx.rollback().await.unwrap(),
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
    }
    let mut versions = tasks.join_all().await;
    versions.sort_unstable();
    assert_eq!(versions, (1..=10).collect::<Vec<_>>());
}

async fn a_release_with_instances_cannot_be_removed(db: Database) {
    let app = app(&db, &user(&db, "alice").await, "hello").await;
    let config = config(&db, &app).await;
    let pending = release(&db, &app, config, ReleaseStatus::Pending).await;
    let pool = db.store.pool();
    let instance = new_instance(&app, &pending, "web", 1);
    instances::insert(pool, &instance).await.unwrap();
    let in_use = releases::delete_pending(pool, app.id).await;
    assert!(matches!(in_use, Err(StoreError::Dangling)), "{in_use:?}");
    instances::delete(pool, instance.id).await.unwrap();
    releases::delete_pending(pool, app.id).await.unwrap();
    assert!(releases::by_id(pool, pending.id).await.unwrap().is_none());
}
