//! Accounts and their keys.

use super::*;

on_both!(
    the_first_user_is_the_administrator,
    registrations_at_the_same_time_all_succeed,
    user_names_are_taken_once,
    users_are_found_by_what_identifies_them,
    a_token_is_the_same_at_every_login_and_nowhere_in_the_table,
    password_hashes_are_replaced,
    keys_are_listed_per_user,
    a_key_belongs_to_one_user,
);

async fn the_first_user_is_the_administrator(db: Database) {
    assert_eq!(users::count(db.store.pool(), users::Which::All).await.unwrap(), 0);
    let (first, second) = (user(&db, "first").await, user(&db, "second").await);
    assert_eq!(users::count(db.store.pool(), users::Which::All).await.unwrap(), 2);
    assert!(first.is_superuser && first.is_active && second.is_active);
    assert!(!second.is_superuser);
    let mut tx = db.store.begin().await.unwrap();
    let new = users::NewUser { is_superuser: true, ..new_user("third") };
    let third = users::insert(&mut tx, db.store.sealer(), &new).await.unwrap();
    tx.commit().await.unwrap();
    assert!(third.is_superuser, "when asked for");
    assert_eq!([first.number, second.number, third.number], [1, 2, 3]);
    assert_eq!(
        (third.username.as_str(), third.email.as_str(), third.first_name.as_str(), third.last_name.as_str()),
        ("third", "third@example.test", "First", "Last")
    );
    assert!(third.created_at.elapsed() < Duration::from_secs(60));
    assert_eq!(third.created_at, third.last_login_at);
}

async fn registrations_at_the_same_time_all_succeed(db: Database) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let store = db.store.clone();
        tasks.spawn(async move {
            let mut tx = store.begin().await?;
            let user = users::insert(&mut tx, store.sealer(), &new_user(&format!("user{n}"))).await?;
            tx.commit().await?;
            Ok::<_, StoreError>(user)
        });
    }
    let users: Vec<User> = tasks.join_all().await.into_iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(users.iter().filter(|user| user.is_superuser).count(), 1);
    let mut numbers: Vec<i64> = users.iter().map(|user| user.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=8).collect::<Vec<_>>());
}

async fn user_names_are_taken_once(db: Database) {
    user(&db, "alice").await;
    let mut tx = db.store.begin().await.unwrap();
    let again = users::insert(&mut tx, db.store.sealer(), &new_user("alice")).await;
    assert!(matches!(again, Err(StoreError::Duplicate)), "{again:?}");
    tx.rollback().await.unwrap();
    assert_eq!(user(&db, "Alice").await.number, 2, "names are case-sensitive");
}

async fn users_are_found_by_what_identifies_them(db: Database) {
    let (alice, _) = (user(&db, "alice").await, user(&db, "bob").await);
    let pool = db.store.pool();
    ssh_keys::insert(pool, alice.id, "laptop", "ssh-ed25519 AAAA", "SHA256:a").await.unwrap();
    let token = users::log_in(pool, db.store.sealer(), alice.id).await.unwrap();
    let found = [
        users::by_name(pool, "alice").await.unwrap(),
        users::by_id(pool, alice.id).await.unwrap(),
        users::by_token(pool, &token).await.unwrap(),
        users::by_fingerprint(pool, "SHA256:a").await.unwrap(),
    ];
    assert_eq!(found.map(|user| user.unwrap().id), [alice.id; 4]);
    let found = [
        users::by_name(pool, "ALICE").await.unwrap(),
        users::by_id(pool, UserId::new()).await.unwrap(),
        users::by_token(pool, &token[1..]).await.unwrap(),
        users::by_token(pool, "").await.unwrap(),
        users::by_fingerprint(pool, "SHA256:b").await.unwrap(),
    ];
    assert!(found.iter().all(Option::is_none), "{found:?}");
}

async fn a_token_is_the_same_at_every_login_and_nowhere_in_the_table(db: Database) {
    let (alice, bob) = (user(&db, "alice").await, user(&db, "bob").await);
    let (pool, sealer) = (db.store.pool(), db.store.sealer());
    tick().await;
    let token = users::log_in(pool, sealer, alice.id).await.unwrap();
    assert!(token.len() == 40 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    assert_eq!(users::log_in(pool, sealer, alice.id).await.unwrap(), token);
    assert_ne!(users::log_in(pool, sealer, bob.id).await.unwrap(), token);
    assert!(users::by_id(pool, alice.id).await.unwrap().unwrap().last_login_at > alice.last_login_at);

    let row = sqlx::query("SELECT * FROM users WHERE username = 'alice'").fetch_one(pool).await.unwrap();
    for column in sqlx::Row::columns(&row) {
        let name = sqlx::Column::name(column);
        if let Ok(value) = sqlx::Row::try_get::<String, _>(&row, name) {
            assert!(!value.contains(&token), "{name}");
        }
    }
    assert_eq!(sqlx::Row::get::<String, _>(&row, "token_digest"), digest(&token));
    let missing = users::log_in(pool, sealer, UserId::new()).await;
    assert!(matches!(missing, Err(StoreError::Database(sqlx::Error::RowNotFound))), "{missing:?}");
}

async fn password_hashes_are_replaced(db: Database) {
    let (alice, bob) = (user(&db, "alice").await, user(&db, "bob").await);
    let pool = db.store.pool();
    assert_eq!(users::password_hash(pool, alice.id).await.unwrap(), "$argon2id$");
    users::set_password_hash(pool, alice.id, "$new$").await.unwrap();
    assert_eq!(users::password_hash(pool, alice.id).await.unwrap(), "$new$");
    assert_eq!(users::password_hash(pool, bob.id).await.unwrap(), "$argon2id$");
}

async fn keys_are_listed_per_user(db: Database) {
    let (alice, bob) = (user(&db, "alice").await, user(&db, "bob").await);
    let pool = db.store.pool();
    for n in 0..3 {
        tick().await;
        ssh_keys::insert(pool, alice.id, &format!("key{n}"), "ssh-rsa B", &format!("SHA256:{n}")).await.unwrap();
    }
    ssh_keys::insert(pool, bob.id, "key0", "ssh-rsa C", "SHA256:bob").await.unwrap();
    let names = |keys: Vec<SshKey>| keys.into_iter().map(|key| key.name).collect::<Vec<_>>();
    assert_eq!(names(ssh_keys::list(pool, alice.id, Page::ALL).await.unwrap()), ["key0", "key1", "key2"]);
    let page = Page { offset: 1, limit: 1 };
    assert_eq!(names(ssh_keys::list(pool, alice.id, page).await.unwrap()), ["key1"]);
    assert_eq!(ssh_keys::count(pool, alice.id).await.unwrap(), 3);
    assert_eq!(ssh_keys::count(pool, bob.id).await.unwrap(), 1);
    let key = ssh_keys::by_name(pool, bob.id, "key0").await.unwrap().unwrap();
    assert_eq!((key.owner.as_str(), key.user_id, key.public.as_str()), ("bob", bob.id, "ssh-rsa C"));
    assert!(ssh_keys::by_name(pool, bob.id, "key1").await.unwrap().is_none());
}

async fn a_key_belongs_to_one_user(db: Database) {
    let (alice, bob) = (user(&db, "alice").await, user(&db, "bob").await);
    let pool = db.store.pool();
    ssh_keys::insert(pool, alice.id, "laptop", "ssh-rsa B", "SHA256:a").await.unwrap();
    for (owner, name, fingerprint) in [(bob.id, "mine", "SHA256:a"), (alice.id, "laptop", "SHA256:b")] {
        let taken = ssh_keys::insert(pool, owner, name, "ssh-rsa B", fingerprint).await;
        assert!(matches!(taken, Err(StoreError::Duplicate)), "{taken:?}");
    }
    let nobody = ssh_keys::insert(pool, UserId::new(), "laptop", "ssh-rsa B", "SHA256:c").await;
    assert!(matches!(nobody, Err(StoreError::Dangling)), "{nobody:?}");
    assert!(ssh_keys::is_registered(pool, "SHA256:a").await.unwrap());
    assert!(!ssh_keys::is_registered(pool, "SHA256:b").await.unwrap());
    assert!(!ssh_keys::delete(pool, bob.id, "laptop").await.unwrap(), "not bob's");
    assert!(ssh_keys::delete(pool, alice.id, "laptop").await.unwrap());
    assert!(!ssh_keys::delete(pool, alice.id, "laptop").await.unwrap(), "gone already");
    assert!(users::by_fingerprint(pool, "SHA256:a").await.unwrap().is_none());
}
