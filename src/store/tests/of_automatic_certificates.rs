//! What the platform got from an authority, and its account there.

use super::certificates::Material;
use super::*;

on_both!(a_name_is_wanted_once_and_its_tries_are_on_record, an_account_is_kept_sealed_for_each_authority);

async fn a_name_is_wanted_once_and_its_tries_are_on_record(db: Database) {
    let (pool, name) = (db.store.pool(), "www.example.com".parse::<CertificateName>().unwrap());
    automatic_certificates::want(pool, &name).await.unwrap();
    let wanted = automatic_certificates::all(pool).await.unwrap().remove(0);
    assert_eq!((&wanted.name, wanted.expires_at, wanted.failures), (&name, None, 0));
    let later = Timestamp::from_millis(wanted.next_try_at.millis() + 60_000);
    automatic_certificates::failed(pool, &name, "no such host", later).await.unwrap();
    automatic_certificates::failed(pool, &name, "refused", later).await.unwrap();
    automatic_certificates::want(pool, &name).await.unwrap();
    let tried = automatic_certificates::all(pool).await.unwrap().remove(0);
    assert_eq!((tried.failures, tried.last_error.as_str(), tried.next_try_at), (2, "refused", later));

    let sealer = db.store.sealer();
    assert!(automatic_certificates::material(pool, sealer, &name).await.unwrap().is_none());
    let material = Material { chain: "the chain".to_owned(), key: "the key".to_owned() };
    let end = Timestamp::from_millis(later.millis() * 2);
    automatic_certificates::issued(pool, sealer, &name, &material, end, later).await.unwrap();
    let issued = automatic_certificates::all(pool).await.unwrap().remove(0);
    assert_eq!((issued.failures, issued.last_error.as_str(), issued.expires_at), (0, "", Some(end)));
    assert!(issued.is_valid(later) && !issued.is_valid(end) && !tried.is_valid(later));
    let found = automatic_certificates::material(pool, sealer, &name).await.unwrap().unwrap();
    assert_eq!((found.chain.as_str(), found.key.as_str()), ("the chain", "the key"));

    automatic_certificates::forget(pool, &name).await.unwrap();
    assert_eq!(automatic_certificates::all(pool).await.unwrap(), []);
}

async fn an_account_is_kept_sealed_for_each_authority(db: Database) {
    let (pool, sealer) = (db.store.pool(), db.store.sealer());
    assert_eq!(automatic_certificates::account(pool, sealer, "https://a.test/dir").await.unwrap(), None);
    for credentials in ["first", "second"] {
        automatic_certificates::keep_account(pool, sealer, "https://a.test/dir", credentials).await.unwrap();
    }
    let found = automatic_certificates::account(pool, sealer, "https://a.test/dir").await.unwrap();
    assert_eq!(found.as_deref(), Some("second"));
    assert_eq!(automatic_certificates::account(pool, sealer, "https://b.test/dir").await.unwrap(), None);
}
