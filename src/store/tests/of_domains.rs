//! Domains and certificates.

use super::*;

on_both!(
    domains_are_taken_once_on_the_server,
    domains_outlive_who_added_them_and_not_their_app,
    certificates_belong_to_their_owner,
    keys_of_certificates_are_sealed_in_their_place,
    who_may_use_what_is_told_for_the_router,
);

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

async fn domains_are_taken_once_on_the_server(db: Database) {
    let alice = user(&db, "alice").await;
    let (hello, other) = (app(&db, &alice, "hello").await, app(&db, &alice, "other").await);
    let pool = db.store.pool();
    for text in ["z.example.com", "a.example.com", "*.example.com"] {
        tick().await;
        assert!(domains::insert(pool, &name(text), hello.id, alice.id).await.unwrap());
    }
    for app in [hello.id, other.id] {
        let taken = domains::insert(pool, &name("a.example.com"), app, alice.id).await;
        assert!(matches!(taken, Err(StoreError::Duplicate)), "{taken:?}");
    }
    let names = async |page| {
        let found = domains::list(pool, hello.id, page).await.unwrap();
        found.into_iter().map(|domain| domain.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(Page::ALL).await, ["z.example.com", "a.example.com", "*.example.com"]);
    assert_eq!(names(Page { offset: 1, limit: 1 }).await, ["a.example.com"]);
    assert_eq!((domains::count(pool, hello.id).await.unwrap(), domains::count(pool, other.id).await.unwrap()), (3, 0));
    let found = domains::by_name(pool, &name("A.example.com")).await.unwrap().unwrap();
    assert_eq!((found.app_id, found.owner.as_str()), (hello.id, "alice"));
    assert!(found.created_at.elapsed() < Duration::from_secs(60));
    assert!(domains::by_name(pool, &name("b.example.com")).await.unwrap().is_none());
    assert!(!domains::delete(pool, &name("a.example.com"), other.id).await.unwrap(), "it is another app's");
    assert!(domains::delete(pool, &name("a.example.com"), hello.id).await.unwrap());
    assert!(!domains::delete(pool, &name("a.example.com"), hello.id).await.unwrap(), "gone already");
    assert!(domains::insert(pool, &name("a.example.com"), other.id, alice.id).await.unwrap());
    domains::delete_all(pool, hello.id).await.unwrap();
    assert_eq!((domains::count(pool, hello.id).await.unwrap(), domains::count(pool, other.id).await.unwrap()), (0, 1));
}

async fn domains_outlive_who_added_them_and_not_their_app(db: Database) {
    let (alice, bob) = (user(&db, "alice").await, user(&db, "bob").await);
    let hello = app(&db, &alice, "hello").await;
    let pool = db.store.pool();
    let www = name("www.example.com");
    assert!(domains::insert(pool, &www, hello.id, bob.id).await.unwrap());
    let owner = async || domains::by_name(pool, &www).await.unwrap().map(|domain| domain.owner.to_string());
    assert_eq!(owner().await.as_deref(), Some("bob"));
    sqlx::query("DELETE FROM users WHERE username = 'bob'").execute(pool).await.unwrap();
    assert_eq!(owner().await.as_deref(), Some("alice"));
    assert!(!domains::insert(pool, &name("a.example.com"), AppId::new(), alice.id).await.unwrap());
    apps::mark_destroying(pool, hello.id).await.unwrap();
    assert!(!domains::insert(pool, &name("a.example.com"), hello.id, alice.id).await.unwrap(), "on its way out");
    apps::delete(pool, hello.id).await.unwrap();
    assert_eq!(owner().await, None);
}

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";

async fn certificate(db: &Database, owner: &User, common_name: &str) -> Result<Certificate, StoreError> {
    let mut tx = db.store.begin().await.unwrap();
    let new = certificates::NewCertificate {
        owner: owner.id,
        common_name: &common_name.parse().unwrap(),
        chain: "-----BEGIN CERTIFICATE-----\n",
        key: KEY,
        expires_at: Timestamp::from_millis(1_900_000_000_000),
    };
    let id = certificates::insert(&mut tx, db.store.sealer(), &new).await?;
    tx.commit().await.unwrap();
    Ok(certificates::by_id(db.store.pool(), id).await.unwrap().unwrap())
}

async fn certificates_belong_to_their_owner(db: Database) {
    let (alice, bob) = (user(&db, "alice").await, user(&db, "bob").await);
    let pool = db.store.pool();
    let first = certificate(&db, &alice, "www.example.com").await.unwrap();
    assert_eq!((first.number, first.owner.as_str(), first.common_name.as_str()), (1, "alice", "www.example.com"));
    assert_eq!(first.expires_at, Timestamp::from_millis(1_900_000_000_000));
    for owner in [&alice, &bob] {
        let taken = certificate(&db, owner, "www.example.com").await;
        assert!(matches!(taken, Err(StoreError::Duplicate)), "{taken:?}");
    }
    let second = certificate(&db, &alice, "*.example.com").await.unwrap();
    let others = certificate(&db, &bob, "bob.example.com").await.unwrap();
    assert!(first.number < second.number && second.number < others.number);
    let names = async |owner: &User, page| {
        let found = certificates::list(pool, owner.id, page).await.unwrap();
        found.into_iter().map(|certificate| certificate.common_name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&alice, Page::ALL).await, ["www.example.com", "*.example.com"]);
    assert_eq!(names(&alice, Page { offset: 1, limit: 1 }).await, ["*.example.com"]);
    assert_eq!(certificates::count(pool, bob.id).await.unwrap(), 1);
    let name = "www.example.com".parse().unwrap();
    assert!(certificates::by_common_name(pool, alice.id, &name).await.unwrap().is_some());
    assert!(certificates::by_common_name(pool, bob.id, &name).await.unwrap().is_none());
    assert!(!certificates::delete(pool, bob.id, &name).await.unwrap());
    assert!(certificates::delete(pool, alice.id, &name).await.unwrap());
    assert!(!certificates::delete(pool, alice.id, &name).await.unwrap());
    assert!(certificates::by_id(pool, first.id).await.unwrap().is_none());
    assert!(certificates::material(pool, db.store.sealer(), first.id).await.unwrap().is_none());
    let again = certificate(&db, &alice, "www.example.com").await.unwrap();
    assert!(again.number > others.number, "no number is given out twice");
    sqlx::query("DELETE FROM users WHERE username = 'bob'").execute(pool).await.unwrap();
    assert!(certificates::by_id(pool, others.id).await.unwrap().is_none());
}

async fn keys_of_certificates_are_sealed_in_their_place(db: Database) {
    let alice = user(&db, "alice").await;
    let (pool, sealer) = (db.store.pool(), db.store.sealer());
    let (first, second) = (
        certificate(&db, &alice, "a.example.com").await.unwrap(),
        certificate(&db, &alice, "b.example.com").await.unwrap(),
    );
    let material = certificates::material(pool, sealer, first.id).await.unwrap().unwrap();
    assert_eq!(material.key, KEY);
    assert!(material.chain.starts_with("-----BEGIN"));
    assert!(!format!("{material:?}").contains("hunter2"));
    let row = sqlx::query("SELECT sealed_key FROM certificates WHERE id = $1").bind(first.id.to_string());
    let raw: Vec<u8> = sqlx::Row::get(&row.fetch_one(pool).await.unwrap(), 0);
    assert!(!raw.windows(7).any(|window| window == b"hunter2"));
    sqlx::query("UPDATE certificates SET sealed_key = $1 WHERE id = $2")
        .bind(raw)
        .bind(second.id.to_string())
        .execute(pool)
        .await
        .unwrap();
    let moved = certificates::material(pool, sealer, second.id).await;
    assert!(matches!(moved, Err(StoreError::Sealed(_))), "{moved:?}");
    let foreign = certificates::material(pool, &Sealer::new([8; 32]), first.id).await;
    assert!(matches!(foreign, Err(StoreError::Sealed(_))), "{foreign:?}");
}

async fn who_may_use_what_is_told_for_the_router(db: Database) {
    let (admin, alice, bob) = (user(&db, "admin").await, user(&db, "alice").await, user(&db, "bob").await);
    let pool = db.store.pool();
    let (hello, _) = (app(&db, &alice, "hello").await, app(&db, &bob, "without").await);
    collaborators::insert(pool, hello.id, bob.id).await.unwrap();
    assert!(domains::users(pool).await.unwrap().is_empty());
    domains::insert(pool, &name("www.example.com"), hello.id, alice.id).await.unwrap();
    assert_eq!(domains::all(pool).await.unwrap(), [(name("www.example.com"), hello.id)]);
    let mut users = domains::users(pool).await.unwrap();
    users.sort();
    let mut expect = [(hello.id, alice.id), (hello.id, bob.id)];
    expect.sort();
    assert_eq!(users, expect);
    let mut ids = Vec::new();
    for owner in [&admin, &alice, &bob] {
        ids.push(certificate(&db, owner, &format!("{}.example.com", owner.username)).await.unwrap().id);
    }
    sqlx::query("UPDATE users SET is_active = 0 WHERE username = 'bob'").execute(pool).await.unwrap();
    let held = certificates::held(pool).await.unwrap();
    let of = |id| held.iter().find(|held| held.id == id).map(|held| (held.owner, held.is_administrators));
    assert_eq!(ids.into_iter().map(of).collect::<Vec<_>>(), [Some((admin.id, true)), Some((alice.id, false)), None]);
}
