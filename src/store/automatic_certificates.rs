//! Certificates that the platform got from an authority, their keys sealed, and its account there.

use sqlx::any::AnyRow;
use sqlx::{AnyExecutor, Row};

use super::certificates::Material;
use super::rows::{integer, parsed, text, time};
use super::{Sealer, StoreError};
use crate::model::{AutomaticCertificate, CertificateName, Timestamp};

/// Separates what is sealed here from what other tables seal under the same words.
fn place(kind: &str, name: &str) -> String {
    format!("acme {kind} {name}")
}

fn certificate(row: &AnyRow) -> Result<AutomaticCertificate, StoreError> {
    let expires_at: Option<i64> = row.try_get("expires_at")?;
    Ok(AutomaticCertificate {
        name: parsed(row, "name")?,
        expires_at: expires_at.map(Timestamp::from_millis),
        next_try_at: time(row, "next_try_at")?,
        failures: u32::try_from(integer(row, "failures")?).unwrap_or(u32::MAX),
        last_error: text(row, "last_error")?,
        updated_at: time(row, "updated_at")?,
    })
}

/// Notes that a name needs a certificate, now; nothing where it is known already.
pub async fn want<'c>(executor: impl AnyExecutor<'c>, name: &CertificateName) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO automatic_certificates (name, next_try_at, failures, last_error, updated_at) \
         VALUES ($1, $2, 0, '', $2) ON CONFLICT (name) DO NOTHING",
    )
    .bind(name.as_str())
    .bind(Timestamp::now().millis())
    .execute(executor)
    .await?;
    Ok(())
}

/// All names, in the order in which they are due.
pub async fn all<'c>(executor: impl AnyExecutor<'c>) -> Result<Vec<AutomaticCertificate>, StoreError> {
    let sql = "SELECT name, expires_at, next_try_at, failures, last_error, updated_at FROM automatic_certificates \
               ORDER BY next_try_at, name";
    let rows = sqlx::query(sql).fetch_all(executor).await?;
    rows.iter().map(certificate).collect()
}

/// Certificate and key; `None` when there is none.
///
/// # Errors
/// [`StoreError::Sealed`] when the key was sealed for another name or with another secrets key.
pub async fn material<'c>(
    executor: impl AnyExecutor<'c>,
    sealer: &Sealer,
    name: &CertificateName,
) -> Result<Option<Material>, StoreError> {
    let sql = "SELECT chain, sealed_key FROM automatic_certificates WHERE name = $1 AND chain IS NOT NULL";
    let row = sqlx::query(sql).bind(name.as_str()).fetch_optional(executor).await?;
    let Some(row) = row else { return Ok(None) };
    let sealed: Vec<u8> = row.try_get("sealed_key")?;
    let key = opened(sealer, &sealed, &place("key", name.as_str()), "sealed_key")?;
    Ok(Some(Material { chain: text(&row, "chain")?, key }))
}

/// Keeps a certificate that has come, in place of the one before it.
pub async fn issued<'c>(
    executor: impl AnyExecutor<'c>,
    sealer: &Sealer,
    name: &CertificateName,
    material: &Material,
    expires_at: Timestamp,
    renew_at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE automatic_certificates SET chain = $2, sealed_key = $3, expires_at = $4, next_try_at = $5, \
         failures = 0, last_error = '', updated_at = $6 WHERE name = $1",
    )
    .bind(name.as_str())
    .bind(&material.chain)
    .bind(sealer.seal(material.key.as_bytes(), &place("key", name.as_str())))
    .bind(expires_at.millis())
    .bind(renew_at.millis())
    .bind(Timestamp::now().millis())
    .execute(executor)
    .await?;
    Ok(())
}

/// Notes a try that failed; the certificate that is there, if any, stays.
pub async fn failed<'c>(
    executor: impl AnyExecutor<'c>,
    name: &CertificateName,
    error: &str,
    next_try_at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE automatic_certificates SET failures = failures + 1, last_error = $2, next_try_at = $3, updated_at = $4 \
         WHERE name = $1",
    )
    .bind(name.as_str())
    .bind(error)
    .bind(next_try_at.millis())
    .bind(Timestamp::now().millis())
    .execute(executor)
    .await?;
    Ok(())
}

/// Forgets a name that nothing needs any more.
pub async fn forget<'c>(executor: impl AnyExecutor<'c>, name: &CertificateName) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM automatic_certificates WHERE name = $1").bind(name.as_str()).execute(executor).await?;
    Ok(())
}

/// The account at the authority of that directory, as [`keep_account`] got it.
///
/// # Errors
/// [`StoreError::Sealed`] when it was sealed with another secrets key.
pub async fn account<'c>(
    executor: impl AnyExecutor<'c>,
    sealer: &Sealer,
    directory: &str,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT sealed_credentials FROM acme_accounts WHERE directory = $1";
    let row = sqlx::query(sql).bind(directory).fetch_optional(executor).await?;
    let Some(row) = row else { return Ok(None) };
    let sealed: Vec<u8> = row.try_get("sealed_credentials")?;
    opened(sealer, &sealed, &place("account", directory), "sealed_credentials").map(Some)
}

/// Keeps the account at the authority of that directory, in place of an earlier one.
pub async fn keep_account<'c>(
    executor: impl AnyExecutor<'c>,
    sealer: &Sealer,
    directory: &str,
    credentials: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO acme_accounts (directory, sealed_credentials, created_at) VALUES ($1, $2, $3) \
         ON CONFLICT (directory) DO UPDATE SET sealed_credentials = $2, created_at = $3",
    )
    .bind(directory)
    .bind(sealer.seal(credentials.as_bytes(), &place("account", directory)))
    .bind(Timestamp::now().millis())
    .execute(executor)
    .await?;
    Ok(())
}

fn opened(sealer: &Sealer, sealed: &[u8], place: &str, column: &'static str) -> Result<String, StoreError> {
    let corrupt = |_| StoreError::Corrupt { column, value: "not text".to_owned() };
    String::from_utf8(sealer.open(sealed, place)?).map_err(corrupt)
}
