//! Instances.

use super::*;

on_both!(instances_come_back_as_they_were_recorded, instances_are_ordered_by_process_number_and_age, instances_move_on);

async fn world(db: &Database) -> (App, Release) {
    let app = app(db, &user(db, "alice").await, "hello").await;
    let config = config(db, &app).await;
    let release = release(db, &app, config, ReleaseStatus::Deployed).await;
    (app, release)
}

async fn instances_come_back_as_they_were_recorded(db: Database) {
    let (app, release) = world(&db).await;
    let pool = db.store.pool();
    for address in [None, Some("172.17.0.2:5000".parse().unwrap()), Some("[fd00::2]:65535".parse().unwrap())] {
        let new = Instance { address, ..new_instance(&app, &release, "my-worker_2", 7) };
        instances::insert(pool, &new).await.unwrap();
        let found = instances::get(pool, new.id).await.unwrap().unwrap();
        assert_eq!(format!("{found:?}"), format!("{new:?}"));
        let again = instances::insert(pool, &new).await;
        assert!(matches!(again, Err(StoreError::Duplicate)), "{again:?}");
    }
    let stray = Instance { release_id: ReleaseId::new(), ..new_instance(&app, &release, "web", 1) };
    let refused = instances::insert(pool, &stray).await;
    assert!(matches!(refused, Err(StoreError::Dangling)), "{refused:?}");
    assert!(instances::get(pool, stray.id).await.unwrap().is_none());
}

async fn instances_are_ordered_by_process_number_and_age(db: Database) {
    let (app, release) = world(&db).await;
    let pool = db.store.pool();
    let mut at = Timestamp::now().millis();
    for (process, number) in [("web", 10), ("worker", 1), ("web", 2), ("web", 2)] {
        at += 1;
        let created_at = Timestamp::from_millis(at);
        let new = Instance { created_at, ..new_instance(&app, &release, process, number) };
        instances::insert(pool, &new).await.unwrap();
    }
    let all = instances::of_app(pool, app.id).await.unwrap();
    let labels: Vec<String> = all.iter().map(Instance::label).collect();
    assert_eq!(labels, ["web.2", "web.2", "web.10", "worker.1"]);
    assert!(all[0].created_at < all[1].created_at);
    assert!(instances::of_app(pool, AppId::new()).await.unwrap().is_empty());
}

async fn instances_move_on(db: Database) {
    let (app, release) = world(&db).await;
    let pool = db.store.pool();
    let (one, two) = (new_instance(&app, &release, "web", 1), new_instance(&app, &release, "web", 2));
    instances::insert(pool, &one).await.unwrap();
    instances::insert(pool, &two).await.unwrap();
    let in_state = async |state| {
        let found = instances::in_state(pool, state).await.unwrap();
        found.into_iter().map(|instance| instance.id).collect::<Vec<_>>()
    };
    assert_eq!(in_state(InstanceState::Planned).await, [one.id, two.id]);
    for state in [InstanceState::Live, InstanceState::Parked, InstanceState::Draining] {
        tick().await;
        let before = instances::get(pool, one.id).await.unwrap().unwrap();
        instances::set_state(pool, one.id, state).await.unwrap();
        assert_eq!(in_state(state).await, [one.id]);
        let after = instances::get(pool, one.id).await.unwrap().unwrap();
        assert!(after.updated_at > before.updated_at && after.state == state);
    }
    assert_eq!(in_state(InstanceState::Planned).await, [two.id]);
    for address in [Some("172.17.0.2:5000".parse().unwrap()), None] {
        instances::set_address(pool, one.id, address).await.unwrap();
        assert_eq!(instances::get(pool, one.id).await.unwrap().unwrap().address, address);
    }
    instances::delete(pool, one.id).await.unwrap();
    instances::delete(pool, one.id).await.unwrap();
    assert_eq!(in_state(InstanceState::Draining).await, []);
    assert_eq!(in_state(InstanceState::Planned).await, [two.id]);
}
