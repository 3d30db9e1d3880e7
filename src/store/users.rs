//! Accounts.

use sqlx::AnyExecutor;
use sqlx::any::AnyRow;

use super::rows::{flag, integer, parsed, text, time};
use super::{Page, Sealer, StoreError, Transaction, digest, random_hex};
use crate::model::{Timestamp, User, UserId, Username};

/// An account to create. The password is hashed already.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Login name.
    pub username: Username,
    /// May be empty.
    pub email: String,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
    /// argon2id, in PHC form.
    pub password_hash: String,
    /// Makes an administrator in any case.
    pub is_superuser: bool,
    /// Makes an administrator where there is no account yet.
    pub may_be_first: bool,
}

pub(super) fn user(row: &AnyRow) -> Result<User, StoreError> {
    Ok(User {
        id: parsed(row, "id")?,
        number: integer(row, "number")?,
        username: parsed(row, "username")?,
        email: text(row, "email")?,
        first_name: text(row, "first_name")?,
        last_name: text(row, "last_name")?,
        is_superuser: flag(row, "is_superuser")?,
        is_active: flag(row, "is_active")?,
        epoch: integer(row, "epoch")?,
        created_at: time(row, "created_at")?,
        last_login_at: time(row, "last_login_at")?,
    })
}

/// The user's API token: 40 hex digits, the same at every login as Deis clients expect, derived so that none is stored.
fn token(sealer: &Sealer, id: UserId, seed: &str) -> String {
    hex::encode(&sealer.derive("token", format!("{id}/{seed}").as_bytes())[..20])
}

/// Creates an account. The first one is an administrator if it may be.
///
/// # Errors
/// [`StoreError::Duplicate`] when the name is taken.
pub async fn insert(tx: &mut Transaction, sealer: &Sealer, new: &NewUser) -> Result<User, StoreError> {
    lock_registration(tx).await?;
    let id = UserId::new();
    let seed = random_hex(16);
    let now = Timestamp::now().millis();
    let row = sqlx::query(
        "INSERT INTO users (id, number, username, email, first_name, last_name, password_hash, is_superuser, is_active, \
         token_seed, token_digest, created_at, last_login_at) \
         VALUES ($1, (SELECT COALESCE(MAX(number), 0) + 1 FROM users), $2, $3, $4, $5, $6, \
         CASE WHEN $7 = 1 OR ($11 = 1 AND NOT EXISTS (SELECT 1 FROM users)) \
         THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END, 1, $8, $9, $10, $10) RETURNING *",
    )
    .bind(id.to_string())
    .bind(new.username.as_str())
    .bind(&new.email)
    .bind(&new.first_name)
    .bind(&new.last_name)
    .bind(&new.password_hash)
    .bind(i64::from(new.is_superuser))
    .bind(&seed)
    .bind(digest(&token(sealer, id, &seed)))
    .bind(now)
    .bind(i64::from(new.may_be_first))
    .fetch_one(&mut **tx)
    .await?;
    user(&row)
}

/// Whether another active administrator would be left without this account. Changes of accounts wait for each other from
/// here on, until the transaction ends, so that it stays true.
pub async fn is_replaceable(tx: &mut Transaction, id: UserId) -> Result<bool, StoreError> {
    lock_registration(tx).await?;
    let row = sqlx::query("SELECT COUNT(*) AS n FROM users WHERE is_superuser = 1 AND is_active = 1 AND id <> $1")
        .bind(id.to_string())
        .fetch_one(&mut **tx)
        .await?;
    Ok(integer(&row, "n")? > 0)
}

/// Makes registrations wait for each other until the transaction ends: PostgreSQL would let two that run at once take the
/// same number, or both become the administrator. A row that is written is locked on either database.
async fn lock_registration(tx: &mut Transaction) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO settings (name, value) VALUES ('registration_lock', '') \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The account of that name.
pub async fn by_name<'c>(executor: impl AnyExecutor<'c>, name: &str) -> Result<Option<User>, StoreError> {
    let row = sqlx::query("SELECT * FROM users WHERE username = $1").bind(name).fetch_optional(executor).await?;
    row.as_ref().map(user).transpose()
}

/// The account with that e-mail address, if it is one account's only: nobody has to prove that an address is theirs.
pub async fn by_email<'c>(executor: impl AnyExecutor<'c>, email: &str) -> Result<Option<User>, StoreError> {
    let rows = sqlx::query("SELECT * FROM users WHERE email = $1 LIMIT 2").bind(email).fetch_all(executor).await?;
    match rows.as_slice() {
        [row] => user(row).map(Some),
        _ => Ok(None),
    }
}

/// The account of that id.
pub async fn by_id<'c>(executor: impl AnyExecutor<'c>, id: UserId) -> Result<Option<User>, StoreError> {
    let row = sqlx::query("SELECT * FROM users WHERE id = $1").bind(id.to_string()).fetch_optional(executor).await?;
    row.as_ref().map(user).transpose()
}

/// The account whose API token this is. Only digests are compared, by the index, so time tells nothing about the token.
pub async fn by_token<'c>(executor: impl AnyExecutor<'c>, token: &str) -> Result<Option<User>, StoreError> {
    let row =
        sqlx::query("SELECT * FROM users WHERE token_digest = $1").bind(digest(token)).fetch_optional(executor).await?;
    row.as_ref().map(user).transpose()
}

/// The owner of the key with that fingerprint.
pub async fn by_fingerprint<'c>(executor: impl AnyExecutor<'c>, fingerprint: &str) -> Result<Option<User>, StoreError> {
    let row = sqlx::query(
        "SELECT users.* FROM users JOIN ssh_keys ON ssh_keys.user_id = users.id WHERE ssh_keys.fingerprint = $1",
    )
    .bind(fingerprint)
    .fetch_optional(executor)
    .await?;
    row.as_ref().map(user).transpose()
}

/// The account's password hash, for a login.
pub async fn password_hash<'c>(executor: impl AnyExecutor<'c>, id: UserId) -> Result<String, StoreError> {
    let row =
        sqlx::query("SELECT password_hash FROM users WHERE id = $1").bind(id.to_string()).fetch_one(executor).await?;
    text(&row, "password_hash")
}

/// Replaces the password hash.
pub async fn set_password_hash<'c>(
    executor: impl AnyExecutor<'c>,
    id: UserId,
    password_hash: &str,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE users SET password_hash = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(password_hash)
        .execute(executor)
        .await?;
    Ok(())
}

/// Notes a login and yields the account's token.
pub async fn log_in<'c>(executor: impl AnyExecutor<'c>, sealer: &Sealer, id: UserId) -> Result<String, StoreError> {
    let row = sqlx::query("UPDATE users SET last_login_at = $2 WHERE id = $1 RETURNING token_seed")
        .bind(id.to_string())
        .bind(Timestamp::now().millis())
        .fetch_one(executor)
        .await?;
    Ok(token(sealer, id, &text(&row, "token_seed")?))
}

/// Gives the account another API token, in place of the one before; yields it.
pub async fn renew_token<'c>(
    executor: impl AnyExecutor<'c>,
    sealer: &Sealer,
    id: UserId,
) -> Result<String, StoreError> {
    let seed = random_hex(16);
    let token = token(sealer, id, &seed);
    sqlx::query("UPDATE users SET token_seed = $2, token_digest = $3 WHERE id = $1")
        .bind(id.to_string())
        .bind(seed)
        .bind(digest(&token))
        .execute(executor)
        .await?;
    Ok(token)
}

/// Begins another epoch of the account: whoever signed in under the one before has to sign in again. Returns the new one.
pub async fn advance_epoch<'c>(executor: impl AnyExecutor<'c>, id: UserId) -> Result<i64, StoreError> {
    let row = sqlx::query("UPDATE users SET epoch = epoch + 1 WHERE id = $1 RETURNING epoch")
        .bind(id.to_string())
        .fetch_one(executor)
        .await?;
    integer(&row, "epoch")
}

/// Whether the account is in this epoch still. It stays in it until the transaction ends: the row is locked from here on.
pub async fn is_in_epoch(tx: &mut Transaction, id: UserId, epoch: i64) -> Result<bool, StoreError> {
    let found =
        sqlx::query("UPDATE users SET epoch = epoch WHERE id = $1 AND epoch = $2").bind(id.to_string()).bind(epoch);
    Ok(found.execute(&mut **tx).await?.rows_affected() > 0)
}

/// Makes the account an administrator, or an ordinary one.
pub async fn set_superuser<'c>(
    executor: impl AnyExecutor<'c>,
    id: UserId,
    is_superuser: bool,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE users SET is_superuser = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(i64::from(is_superuser))
        .execute(executor)
        .await?;
    Ok(())
}

/// Removes an account with its keys, certificates and collaborations. What it built, configured and released in apps of others stays
/// and is those apps' owners' from now on.
///
/// # Errors
/// [`StoreError::Dangling`] while the account owns an app.
pub async fn delete(tx: &mut Transaction, id: UserId) -> Result<(), StoreError> {
    for inherit in [
        "UPDATE configs SET owner_id = (SELECT owner_id FROM apps WHERE apps.id = configs.app_id) WHERE owner_id = $1",
        "UPDATE builds SET owner_id = (SELECT owner_id FROM apps WHERE apps.id = builds.app_id) WHERE owner_id = $1",
        "UPDATE releases SET owner_id = (SELECT owner_id FROM apps WHERE apps.id = releases.app_id) WHERE owner_id = $1",
        "UPDATE process_groups SET owner_id = (SELECT owner_id FROM apps WHERE apps.id = process_groups.app_id) \
         WHERE owner_id = $1 AND app_id IN (SELECT id FROM apps)",
        "DELETE FROM users WHERE id = $1",
    ] {
        sqlx::query(inherit).bind(id.to_string()).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Which accounts a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// Active administrators.
    Administrators,
}

impl Which {
    const fn filter(self) -> &'static str {
        match self {
            Self::All => "1 = 1",
            Self::Administrators => "is_superuser = 1 AND is_active = 1",
        }
    }
}

/// Accounts in order of registration.
pub async fn list<'c>(executor: impl AnyExecutor<'c>, which: Which, page: Page) -> Result<Vec<User>, StoreError> {
    let sql = format!("SELECT * FROM users WHERE {} ORDER BY number LIMIT $1 OFFSET $2", which.filter());
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(page.limit).bind(page.offset).fetch_all(executor).await?;
    rows.iter().map(user).collect()
}

/// How many accounts [`list`] would yield over all pages.
pub async fn count<'c>(executor: impl AnyExecutor<'c>, which: Which) -> Result<i64, StoreError> {
    let sql = format!("SELECT COUNT(*) AS n FROM users WHERE {}", which.filter());
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(executor).await?;
    integer(&row, "n")
}
