//! Collaborators, apps that change hands, accounts that end.

use super::*;

on_both!(
    a_collaborator_sees_the_app_in_the_list,
    collaborators_come_and_go,
    an_ended_account_leaves_its_history_to_the_owners,
    an_account_that_owns_an_app_cannot_end,
    a_renewed_token_replaces_the_old_one,
    administrators_are_listed_apart,
    formations_of_several_apps_come_at_once,
    reported_pushes_go_with_their_app,
);

async fn names(db: &Database, viewer: Option<UserId>) -> Vec<String> {
    let page = Page { offset: 0, limit: 100 };
    let apps = apps::list(db.store.pool(), viewer, page).await.unwrap();
    let names: Vec<String> = apps.iter().map(|app| app.name.to_string()).collect();
    assert_eq!(apps::count(db.store.pool(), viewer).await.unwrap(), i64::try_from(names.len()).unwrap());
    names
}

async fn a_collaborator_sees_the_app_in_the_list(db: Database) {
    let (alice, bob) = (user(&db, "alice").await, user(&db, "bob").await);
    let first = app(&db, &alice, "first").await;
    tick().await;
    app(&db, &bob, "second").await;
    tick().await;
    app(&db, &alice, "third").await;
    assert_eq!(names(&db, Some(bob.id)).await, ["second"]);
    assert!(collaborators::insert(db.store.pool(), first.id, bob.id).await.unwrap());
    assert_eq!(names(&db, Some(bob.id)).await, ["first", "second"]);
    assert_eq!(names(&db, Some(alice.id)).await, ["first", "third"]);
    assert_eq!(names(&db, None).await, ["first", "second", "third"]);
    apps::set_owner(db.store.pool(), first.id, bob.id).await.unwrap();
    assert_eq!(names(&db, Some(bob.id)).await, ["first", "second"], "once, although it is both");
    let owned = apps::owned_by(db.store.pool(), bob.id).await.unwrap();
    assert_eq!(owned.iter().map(|app| app.name.as_str()).collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(apps::by_id(db.store.pool(), first.id).await.unwrap().unwrap().owner, bob.username);
}

async fn collaborators_come_and_go(db: Database) {
    let (alice, bob, eve) = (user(&db, "alice").await, user(&db, "bob").await, user(&db, "eve").await);
    let (pool, app) = (db.store.pool(), app(&db, &alice, "hello").await);
    assert!(collaborators::insert(pool, app.id, eve.id).await.unwrap());
    tick().await;
    assert!(collaborators::insert(pool, app.id, bob.id).await.unwrap());
    assert!(!collaborators::insert(pool, app.id, bob.id).await.unwrap(), "twice is once");
    let names = collaborators::names(pool, app.id).await.unwrap();
    assert_eq!(names.iter().map(Username::as_str).collect::<Vec<_>>(), ["eve", "bob"]);
    assert!(collaborators::contains(pool, app.id, bob.id).await.unwrap());
    assert!(!collaborators::contains(pool, app.id, alice.id).await.unwrap());
    assert!(collaborators::delete(pool, app.id, bob.id).await.unwrap());
    assert!(!collaborators::delete(pool, app.id, bob.id).await.unwrap());
    apps::delete(pool, app.id).await.unwrap();
    assert!(!collaborators::contains(pool, app.id, eve.id).await.unwrap());
}

async fn delete(db: &Database, id: UserId) -> Result<(), StoreError> {
    let mut tx = db.store.begin().await.unwrap();
    match users::delete(&mut tx, id).await {
        Ok(()) => Ok(tx.commit().await?),
        Err(error) => {
            tx.rollback().await.unwrap();
            Err(error)
        }
    }
}

async fn an_ended_account_leaves_its_history_to_the_owners(db: Database) {
    let (alice, bob) = (user(&db, "alice").await, user(&db, "bob").await);
    let (pool, app) = (db.store.pool(), app(&db, &alice, "hello").await);
    collaborators::insert(pool, app.id, bob.id).await.unwrap();
    ssh_keys::insert(pool, bob.id, "laptop", "ssh-ed25519 AAAA", "SHA256:x").await.unwrap();
    let by_bob = App { owner_id: bob.id, ..app.clone() };
    let config = config(&db, &by_bob).await;
    let release = release(&db, &by_bob, config, ReleaseStatus::Deployed).await;
    assert_eq!(release.owner.as_str(), "bob");
    delete(&db, bob.id).await.unwrap();
    assert!(users::by_name(pool, "bob").await.unwrap().is_none());
    assert!(!ssh_keys::is_registered(pool, "SHA256:x").await.unwrap());
    assert!(!collaborators::contains(pool, app.id, bob.id).await.unwrap());
    assert_eq!(releases::by_id(pool, release.id).await.unwrap().unwrap().owner.as_str(), "alice");
    assert_eq!(configs::get(pool, db.store.sealer(), config).await.unwrap().owner.as_str(), "alice");
    user(&db, "bob").await;
}

async fn an_account_that_owns_an_app_cannot_end(db: Database) {
    let alice = user(&db, "alice").await;
    let app = app(&db, &alice, "hello").await;
    let refused = delete(&db, alice.id).await;
    assert!(matches!(refused, Err(StoreError::Dangling)), "{refused:?}");
    apps::delete(db.store.pool(), app.id).await.unwrap();
    delete(&db, alice.id).await.unwrap();
}

async fn a_renewed_token_replaces_the_old_one(db: Database) {
    let (pool, sealer, alice) = (db.store.pool(), db.store.sealer(), user(&db, "alice").await);
    let old = users::log_in(pool, sealer, alice.id).await.unwrap();
    let new = users::renew_token(pool, sealer, alice.id).await.unwrap();
    assert_ne!(old, new);
    assert_eq!(users::log_in(pool, sealer, alice.id).await.unwrap(), new);
    assert!(users::by_token(pool, &old).await.unwrap().is_none());
    assert_eq!(users::by_token(pool, &new).await.unwrap().unwrap().id, alice.id);
}

async fn administrators_are_listed_apart(db: Database) {
    let (pool, page) = (db.store.pool(), Page { offset: 0, limit: 10 });
    let (alice, bob) = (user(&db, "alice").await, user(&db, "bob").await);
    let list = async |which| {
        let users = users::list(pool, which, page).await.unwrap();
        assert_eq!(users::count(pool, which).await.unwrap(), i64::try_from(users.len()).unwrap());
        users.into_iter().map(|user| user.username.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(users::Which::All).await, ["alice", "bob"]);
    assert_eq!(list(users::Which::Administrators).await, ["alice"]);
    users::set_superuser(pool, bob.id, true).await.unwrap();
    users::set_superuser(pool, alice.id, false).await.unwrap();
    assert_eq!(list(users::Which::Administrators).await, ["bob"]);
}

async fn formations_of_several_apps_come_at_once(db: Database) {
    let alice = user(&db, "alice").await;
    let (first, second) = (app(&db, &alice, "first").await, app(&db, &alice, "second").await);
    let formation = Formation([("web".parse().unwrap(), 2), ("worker".parse().unwrap(), 0)].into());
    let mut tx = db.store.begin().await.unwrap();
    formations::replace(&mut tx, first.id, &formation).await.unwrap();
    tx.commit().await.unwrap();
    let found = formations::of_apps(db.store.pool(), &[first.id, second.id]).await.unwrap();
    assert_eq!(found, [(first.id, formation)].into());
    assert!(formations::of_apps(db.store.pool(), &[]).await.unwrap().is_empty());
}

async fn reported_pushes_go_with_their_app(db: Database) {
    let alice = user(&db, "alice").await;
    let (pool, app) = (db.store.pool(), app(&db, &alice, "hello").await);
    let text = |text: &str| text.to_owned();
    let report = PushReport {
        sha: text("abc1234"),
        fingerprint: text("aa:bb"),
        receive_user: text("alice"),
        receive_repo: text("hello"),
        ssh_connection: text("10.0.0.1 1 10.0.0.2 22"),
        ssh_original_command: text("git-receive-pack 'hello.git'"),
    };
    let push = pushes::insert(pool, app.id, alice.id, &report).await.unwrap();
    assert!(push.created_at.elapsed() < Duration::from_secs(60));
    apps::delete(pool, app.id).await.unwrap();
}
