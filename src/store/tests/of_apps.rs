//! Apps, their configs and formations.

use super::*;

on_both!(
    app_names_are_taken_once,
    apps_are_listed_per_owner_in_order_of_creation,
    an_app_can_be_touched_and_put_beyond_return,
    a_deleted_app_takes_everything_but_its_operations_along,
    configs_come_back_as_they_were,
    config_values_are_sealed_in_their_place,
    a_config_in_use_cannot_be_deleted,
    configs_that_no_release_uses_are_deleted_together,
    formations_are_replaced_whole,
);

async fn app_names_are_taken_once(db: Database) {
    let alice = user(&db, "alice").await;
    let first = app(&db, &alice, "hello").await;
    assert_eq!((first.name.as_str(), first.owner.as_str(), first.owner_id), ("hello", "alice", alice.id));
    assert!(!first.is_destroying);
    let pool = db.store.pool();
    let again = apps::insert(pool, AppId::new(), &first.name, alice.id).await;
    assert!(matches!(again, Err(StoreError::Duplicate)), "{again:?}");
    let nobody = apps::insert(pool, AppId::new(), &"other".parse().unwrap(), UserId::new()).await;
    assert!(matches!(nobody, Err(StoreError::Dangling)), "{nobody:?}");
    assert_eq!(apps::by_name(pool, "hello").await.unwrap().unwrap().id, first.id);
    assert!(apps::by_name(pool, "other").await.unwrap().is_none());
    assert!(apps::by_id(pool, AppId::new()).await.unwrap().is_none());
    apps::delete(pool, first.id).await.unwrap();
    assert_ne!(app(&db, &alice, "hello").await.id, first.id, "a free name can be taken again");
}

async fn apps_are_listed_per_owner_in_order_of_creation(db: Database) {
    let (alice, bob) = (user(&db, "alice").await, user(&db, "bob").await);
    for (owner, name) in [(&alice, "z"), (&bob, "m"), (&alice, "a")] {
        tick().await;
        app(&db, owner, name).await;
    }
    let pool = db.store.pool();
    let list = async |owner: Option<UserId>, page| {
        let apps = apps::list(pool, owner, page).await.unwrap();
        apps.into_iter().map(|app| app.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(None, Page::ALL).await, ["z", "m", "a"]);
    assert_eq!(list(Some(alice.id), Page::ALL).await, ["z", "a"]);
    assert_eq!(list(Some(UserId::new()), Page::ALL).await, [""; 0]);
    assert_eq!(list(None, Page { offset: 1, limit: 1 }).await, ["m"]);
    assert_eq!(list(None, Page { offset: 3, limit: 1 }).await, [""; 0]);
    assert_eq!(apps::count(pool, None).await.unwrap(), 3);
    assert_eq!(apps::count(pool, Some(bob.id)).await.unwrap(), 1);
    assert_eq!(apps::count(pool, Some(UserId::new())).await.unwrap(), 0);
}

async fn an_app_can_be_touched_and_put_beyond_return(db: Database) {
    let alice = user(&db, "alice").await;
    let (before, other) = (app(&db, &alice, "hello").await, app(&db, &alice, "other").await);
    let pool = db.store.pool();
    tick().await;
    apps::touch(pool, before.id).await.unwrap();
    apps::mark_destroying(pool, before.id).await.unwrap();
    let after = apps::by_id(pool, before.id).await.unwrap().unwrap();
    assert!(after.is_destroying && after.updated_at > before.updated_at);
    assert_eq!(after.created_at, before.created_at);
    let same = apps::by_id(pool, other.id).await.unwrap().unwrap();
    assert!(!same.is_destroying && same.updated_at == other.updated_at);
}

async fn a_deleted_app_takes_everything_but_its_operations_along(db: Database) {
    let alice = user(&db, "alice").await;
    let pool = db.store.pool();
    let mut kept = Vec::new();
    for name in ["gone", "kept"] {
        let app = app(&db, &alice, name).await;
        let (config, build) = (config(&db, &app).await, BuildId::new());
        let (kind, image) = (BuildKind::Slug, name.to_owned());
        let new = builds::NewBuild {
            app: app.id,
            owner: alice.id,
            kind,
            image,
            engine_image: String::new(),
            commit: None,
            dockerfile: String::new(),
        };
        builds::insert(pool, build, &new).await.unwrap();
        let mut tx = db.store.begin().await.unwrap();
        let new = releases::NewRelease { build: Some(build), ..new_release(&app, config, ReleaseStatus::Deployed) };
        let release = releases::insert(&mut tx, &new).await.unwrap();
        formations::replace(&mut tx, app.id, &Formation([("web".parse().unwrap(), 1)].into())).await.unwrap();
        instances::insert(&mut *tx, &new_instance(&app, &release, "web", 1)).await.unwrap();
        tx.commit().await.unwrap();
        operations::begin(pool, OperationKind::Destroy, &app, "alice").await.unwrap();
        kept.push(app);
    }
    apps::delete(pool, kept[0].id).await.unwrap();
    for table in ["apps", "configs", "builds", "releases", "formations", "instances"] {
        let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) AS n FROM {table}"));
        let row = sqlx::query(sql).fetch_one(pool).await.unwrap();
        assert_eq!(sqlx::Row::get::<i64, _>(&row, "n"), 1, "{table}");
    }
    assert!(instances::of_app(pool, kept[0].id).await.unwrap().is_empty());
    assert_eq!(operations::live_of(pool, kept[0].id).await.unwrap().unwrap().app_name, "gone");
    apps::delete(pool, kept[0].id).await.unwrap();
}

async fn configs_come_back_as_they_were(db: Database) {
    let alice = user(&db, "alice").await;
    let app = app(&db, &alice, "hello").await;
    let json = r#"{"A":"x\n\"ü","B":true,"E":"","F":1.5,"N":-10}"#;
    let values: ConfigVars = serde_json::from_str(json).unwrap();
    let mut limits = Limits::default();
    limits.memory.insert("web".to_owned(), ConfigValue::Text("64M".to_owned()));
    limits.cpu.insert("web".to_owned(), ConfigValue::Integer(512));
    let (pool, sealer) = (db.store.pool(), db.store.sealer());
    let id = configs::insert(pool, sealer, app.id, alice.id, &values, &limits).await.unwrap();
    let config = configs::get(pool, sealer, id).await.unwrap();
    assert_eq!(serde_json::to_string(&config.values).unwrap(), json);
    assert_eq!(config.limits, limits);
    assert_eq!((config.id, config.app_id, config.owner_id), (id, app.id, alice.id));
    assert_eq!(config.owner.as_str(), "alice");
    let missing = configs::get(pool, sealer, ConfigId::new()).await;
    assert!(matches!(missing, Err(StoreError::Database(sqlx::Error::RowNotFound))), "{missing:?}");
}

async fn config_values_are_sealed_in_their_place(db: Database) {
    let alice = user(&db, "alice").await;
    let app = app(&db, &alice, "hello").await;
    let values: ConfigVars = [("SECRET_NAME".to_owned(), ConfigValue::Text("hunter2".to_owned()))].into();
    let (pool, sealer) = (db.store.pool(), db.store.sealer());
    let id = configs::insert(pool, sealer, app.id, alice.id, &values, &Limits::default()).await.unwrap();
    let other = config(&db, &app).await;
    let row = sqlx::query("SELECT sealed_values FROM configs WHERE id = $1").bind(id.to_string());
    let raw: Vec<u8> = sqlx::Row::get(&row.fetch_one(pool).await.unwrap(), 0);
    for secret in ["hunter2", "SECRET_NAME"] {
        assert!(!raw.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
    // Moved to another row, or read with another key, the value does not open.
    sqlx::query("UPDATE configs SET sealed_values = $1 WHERE id = $2")
        .bind(raw)
        .bind(other.to_string())
        .execute(pool)
        .await
        .unwrap();
    let moved = configs::get(pool, sealer, other).await;
    assert!(matches!(moved, Err(StoreError::Sealed(_))), "{moved:?}");
    let foreign = configs::get(pool, &Sealer::new([8; 32]), id).await;
    assert!(matches!(foreign, Err(StoreError::Sealed(_))), "{foreign:?}");
}

async fn a_config_in_use_cannot_be_deleted(db: Database) {
    let alice = user(&db, "alice").await;
    let app = app(&db, &alice, "hello").await;
    let (used, unused) = (config(&db, &app).await, config(&db, &app).await);
    release(&db, &app, used, ReleaseStatus::Deployed).await;
    let pool = db.store.pool();
    let in_use = configs::delete(pool, used).await;
    assert!(matches!(in_use, Err(StoreError::Dangling)), "{in_use:?}");
    configs::delete(pool, unused).await.unwrap();
    assert!(configs::get(pool, db.store.sealer(), used).await.is_ok());
    assert!(configs::get(pool, db.store.sealer(), unused).await.is_err());
}

async fn configs_that_no_release_uses_are_deleted_together(db: Database) {
    let alice = user(&db, "alice").await;
    let (app, other) = (app(&db, &alice, "hello").await, app(&db, &alice, "other").await);
    let (used, unused, others) = (config(&db, &app).await, config(&db, &app).await, config(&db, &other).await);
    release(&db, &app, used, ReleaseStatus::Pending).await;
    configs::delete_unused(db.store.pool(), app.id).await.unwrap();
    let exists = async |id| configs::get(db.store.pool(), db.store.sealer(), id).await.is_ok();
    assert_eq!((exists(used).await, exists(unused).await, exists(others).await), (true, false, true));
}

async fn formations_are_replaced_whole(db: Database) {
    let alice = user(&db, "alice").await;
    let (app, other) = (app(&db, &alice, "hello").await, app(&db, &alice, "other").await);
    let formation = |counts: &[(&str, u32)]| {
        Formation(counts.iter().map(|(process, count)| (process.parse().unwrap(), *count)).collect())
    };
    let get = async |app: &App| formations::get(db.store.pool(), app.id).await.unwrap();
    assert_eq!(get(&app).await, Formation::default());
    for counts in [&[("web", 2), ("worker", 0)][..], &[("clock", 1), ("web", u32::MAX)], &[]] {
        let mut tx = db.store.begin().await.unwrap();
        formations::replace(&mut tx, app.id, &formation(counts)).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(get(&app).await, formation(counts));
        assert_eq!(get(&other).await, Formation::default());
    }
}
