//! Log drains.

use super::*;

on_both!(drains_belong_to_an_app_and_their_addresses_are_sealed,);

async fn drains_belong_to_an_app_and_their_addresses_are_sealed(db: Database) {
    let alice = user(&db, "alice").await;
    let (hello, other) = (app(&db, &alice, "hello").await, app(&db, &alice, "other").await);
    let (pool, sealer) = (db.store.pool(), db.store.sealer());
    let urls = ["syslog://logs.example.com", "https://bob:hunter22@example.com/a?b=c"];
    for url in urls {
        tick().await;
        let drain =
            log_drains::insert(pool, sealer, hello.id, &url.parse().unwrap(), hello.owner_id).await.unwrap().unwrap();
        assert_eq!((drain.app_id, drain.url.as_str()), (hello.id, url));
    }
    let list = async |app: &App, page| log_drains::list(pool, sealer, app.id, page).await.unwrap();
    let found = list(&hello, Page::ALL).await;
    assert_eq!(found.iter().map(|drain| drain.url.as_str()).collect::<Vec<_>>(), urls);
    assert_eq!(list(&hello, Page { offset: 1, limit: 1 }).await[0].id, found[1].id);
    assert_eq!(log_drains::count(pool, hello.id).await.unwrap(), 2);
    assert_eq!(log_drains::count(pool, other.id).await.unwrap(), 0);
    let all = log_drains::all(pool, sealer).await.unwrap();
    assert!(all.len() == 2 && all.iter().all(|(_, app)| app.as_str() == "hello"), "{all:?}");
    let rows = sqlx::query("SELECT sealed_url FROM log_drains").fetch_all(pool).await.unwrap();
    for row in rows {
        let sealed: Vec<u8> = sqlx::Row::get(&row, "sealed_url");
        assert!(!String::from_utf8_lossy(&sealed).contains("example"));
    }
    assert!(!log_drains::delete(pool, found[0].id, other.id).await.unwrap(), "it is another app's");
    assert!(log_drains::delete(pool, found[0].id, hello.id).await.unwrap());
    assert!(!log_drains::delete(pool, found[0].id, hello.id).await.unwrap(), "gone already");
    apps::mark_destroying(pool, hello.id).await.unwrap();
    let late = log_drains::insert(pool, sealer, hello.id, &urls[0].parse().unwrap(), hello.owner_id).await.unwrap();
    assert!(late.is_none(), "on its way out");
    assert!(log_drains::all(pool, sealer).await.unwrap().is_empty());
    apps::delete(pool, hello.id).await.unwrap();
    assert_eq!(log_drains::count(pool, hello.id).await.unwrap(), 0, "drains go with their app");
}
