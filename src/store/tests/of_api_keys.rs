//! API keys.

use super::*;

on_both!(
    several_keys_are_one_users_and_the_oldest_go,
    keys_are_stored_as_digests_and_end_with_the_account,
    an_address_that_two_have_is_nobodys,
);

async fn add(db: &Database, user: &User, key: &str, most: i64) {
    let mut tx = db.store.begin().await.unwrap();
    api_keys::insert(&mut tx, user.id, key, most).await.unwrap();
    tx.commit().await.unwrap();
}

async fn owner(db: &Database, key: &str) -> Option<String> {
    api_keys::user_of(db.store.pool(), key).await.unwrap().map(|user| user.username.to_string())
}

async fn several_keys_are_one_users_and_the_oldest_go(db: Database) {
    let (bob, eve) = (user(&db, "bob").await, user(&db, "eve").await);
    add(&db, &eve, "eve's", 3).await;
    for key in ["1", "2", "3", "4"] {
        add(&db, &bob, key, 3).await;
        tick().await;
    }
    assert_eq!(api_keys::count(db.store.pool(), bob.id).await.unwrap(), 3);
    assert_eq!(owner(&db, "1").await, None);
    for key in ["2", "3", "4"] {
        assert_eq!(owner(&db, key).await.as_deref(), Some("bob"), "{key}");
    }
    assert_eq!(owner(&db, "eve's").await.as_deref(), Some("eve"));
    add(&db, &bob, "5", 1).await;
    assert_eq!((owner(&db, "4").await, owner(&db, "5").await.as_deref()), (None, Some("bob")));
}

async fn keys_are_stored_as_digests_and_end_with_the_account(db: Database) {
    user(&db, "ada").await;
    let bob = user(&db, "bob").await;
    add(&db, &bob, "a key", 20).await;
    let mut tx = db.store.begin().await.unwrap();
    users::delete(&mut tx, bob.id).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(owner(&db, "a key").await, None);
    assert_eq!(api_keys::count(db.store.pool(), bob.id).await.unwrap(), 0);
}

async fn an_address_that_two_have_is_nobodys(db: Database) {
    user(&db, "bob").await;
    let found = users::by_email(db.store.pool(), "bob@example.test").await.unwrap();
    assert_eq!(found.map(|user| user.username.to_string()).as_deref(), Some("bob"));
    let mut tx = db.store.begin().await.unwrap();
    let second = users::NewUser { email: "bob@example.test".to_owned(), ..new_user("eve") };
    users::insert(&mut tx, db.store.sealer(), &second).await.unwrap();
    tx.commit().await.unwrap();
    assert!(users::by_email(db.store.pool(), "bob@example.test").await.unwrap().is_none());
}
