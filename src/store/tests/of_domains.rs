//! Domains and certificates.

use super::*;

on_both!(domains_are_taken_once_on_the_server, domains_outlive_who_added_them_and_not_their_app);

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
