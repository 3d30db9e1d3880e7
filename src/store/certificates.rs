//! Uploaded certificates, their keys sealed.

use std::fmt;

use sqlx::any::AnyRow;
use sqlx::{AnyExecutor, Row};

use super::rows::{flag, integer, parsed, text, time};
use super::{Page, Sealer, StoreError, Transaction};
use crate::model::{Certificate, CertificateId, CertificateName, Timestamp, UserId};

const SELECT: &str = "SELECT certificates.*, users.username AS owner FROM certificates \
     JOIN users ON users.id = certificates.owner_id";

/// A certificate to store. It has passed every check.
pub struct NewCertificate<'a> {
    /// Whose it is.
    pub owner: UserId,
    /// What it is called by.
    pub common_name: &'a CertificateName,
    /// PEM, the leaf first.
    pub chain: &'a str,
    /// PEM.
    pub key: &'a str,
    /// The end of its validity.
    pub expires_at: Timestamp,
}

/// What goes into a handshake. Its `Debug` prints none of it.
pub struct Material {
    /// PEM, the leaf first.
    pub chain: String,
    /// PEM.
    pub key: String,
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<certificate and key>")
    }
}

/// A certificate whose owner's account is in use.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// Which one.
    pub id: CertificateId,
    /// Whose it is.
    pub owner: UserId,
    /// Whether the owner is an administrator.
    pub is_administrators: bool,
}

fn certificate(row: &AnyRow) -> Result<Certificate, StoreError> {
    Ok(Certificate {
        id: parsed(row, "id")?,
        number: integer(row, "number")?,
        owner_id: parsed(row, "owner_id")?,
        owner: parsed(row, "owner")?,
        common_name: parsed(row, "common_name")?,
        expires_at: time(row, "expires_at")?,
        created_at: time(row, "created_at")?,
    })
}

/// Stores a certificate, its key sealed.
///
/// # Errors
/// [`StoreError::Duplicate`] when anybody's has that common name.
pub async fn insert(
    tx: &mut Transaction,
    sealer: &Sealer,
    new: &NewCertificate<'_>,
) -> Result<CertificateId, StoreError> {
    let id = CertificateId::new();
    let number = next_number(tx).await?;
    sqlx::query(
        "INSERT INTO certificates (id, number, owner_id, common_name, chain, sealed_key, expires_at, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(id.to_string())
    .bind(number)
    .bind(new.owner.to_string())
    .bind(new.common_name.as_str())
    .bind(new.chain)
    .bind(sealer.seal(new.key.as_bytes(), &id.to_string()))
    .bind(new.expires_at.millis())
    .bind(Timestamp::now().millis())
    .execute(&mut **tx)
    .await?;
    Ok(id)
}

/// The next number: a counter, so that none is given out again after its certificate is gone.
async fn next_number(tx: &mut Transaction) -> Result<i64, StoreError> {
    let row = sqlx::query(
        "INSERT INTO settings (name, value) VALUES ('last_certificate_number', '1') ON CONFLICT (name) \
         DO UPDATE SET value = CAST(CAST(settings.value AS BIGINT) + 1 AS TEXT) RETURNING value",
    )
    .fetch_one(&mut **tx)
    .await?;
    parsed(&row, "value")
}

/// The certificate of that id.
pub async fn by_id<'c>(executor: impl AnyExecutor<'c>, id: CertificateId) -> Result<Option<Certificate>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("{SELECT} WHERE certificates.id = $1"));
    let row = sqlx::query(sql).bind(id.to_string()).fetch_optional(executor).await?;
    row.as_ref().map(certificate).transpose()
}

/// A user's certificate by its common name.
pub async fn by_common_name<'c>(
    executor: impl AnyExecutor<'c>,
    owner: UserId,
    name: &CertificateName,
) -> Result<Option<Certificate>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("{SELECT} WHERE owner_id = $1 AND common_name = $2"));
    let row = sqlx::query(sql).bind(owner.to_string()).bind(name.as_str()).fetch_optional(executor).await?;
    row.as_ref().map(certificate).transpose()
}

/// A user's certificates in order of upload.
pub async fn list<'c>(
    executor: impl AnyExecutor<'c>,
    owner: UserId,
    page: Page,
) -> Result<Vec<Certificate>, StoreError> {
    let sql =
        sqlx::AssertSqlSafe(format!("{SELECT} WHERE owner_id = $1 ORDER BY certificates.number LIMIT $2 OFFSET $3"));
    let rows = sqlx::query(sql).bind(owner.to_string()).bind(page.limit).bind(page.offset).fetch_all(executor).await?;
    rows.iter().map(certificate).collect()
}

/// How many certificates a user has.
pub async fn count<'c>(executor: impl AnyExecutor<'c>, owner: UserId) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM certificates WHERE owner_id = $1")
        .bind(owner.to_string())
        .fetch_one(executor)
        .await?;
    integer(&row, "n")
}

/// Every certificate of an account that is not switched off.
pub async fn held<'c>(executor: impl AnyExecutor<'c>) -> Result<Vec<Held>, StoreError> {
    let rows = sqlx::query(
        "SELECT certificates.id, owner_id, is_superuser FROM certificates JOIN users ON users.id = owner_id \
         WHERE is_active = 1",
    )
    .fetch_all(executor)
    .await?;
    let held = |row: &AnyRow| {
        let is_administrators = flag(row, "is_superuser")?;
        Ok(Held { id: parsed(row, "id")?, owner: parsed(row, "owner_id")?, is_administrators })
    };
    rows.iter().map(held).collect()
}

/// Certificate and key; `None` when the certificate is gone.
///
/// # Errors
/// [`StoreError::Sealed`] when the key was sealed for another place or with another secrets key.
pub async fn material<'c>(
    executor: impl AnyExecutor<'c>,
    sealer: &Sealer,
    id: CertificateId,
) -> Result<Option<Material>, StoreError> {
    let row = sqlx::query("SELECT chain, sealed_key FROM certificates WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(executor)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let sealed: Vec<u8> = row.try_get("sealed_key")?;
    let corrupt = |_| StoreError::Corrupt { column: "sealed_key", value: "not text".to_owned() };
    let key = String::from_utf8(sealer.open(&sealed, &id.to_string())?).map_err(corrupt)?;
    Ok(Some(Material { chain: text(&row, "chain")?, key }))
}

/// Removes a user's certificate; says whether there was one.
pub async fn delete<'c>(
    executor: impl AnyExecutor<'c>,
    owner: UserId,
    name: &CertificateName,
) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM certificates WHERE owner_id = $1 AND common_name = $2")
        .bind(owner.to_string())
        .bind(name.as_str())
        .execute(executor)
        .await?;
    Ok(done.rows_affected() > 0)
}
