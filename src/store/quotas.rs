//! Quotas: what administrators set for one account, and what accounts use.

use sqlx::AnyExecutor;
use std::collections::HashMap;

use super::rows::{integer, narrow, parsed, text};
use super::{StoreError, Transaction};
use crate::model::{
    AppId, Formation, Limits, OperationId, Quota, QuotaExceeded, QuotaKind, QuotaLimits, Quotas, UserId,
};

/// An account behind every other transaction that asks for more on its behalf, until this one ends.
#[derive(Debug, Clone)]
pub struct Account {
    /// Whose quotas these are.
    pub id: UserId,
    /// The account's name.
    pub name: String,
    limits: QuotaLimits,
}

impl Account {
    /// The limit of a kind: what an administrator set for the account, else the operator's.
    pub fn limit(&self, defaults: &Quotas, kind: QuotaKind) -> Quota {
        self.limits.get(&kind).copied().unwrap_or_else(|| defaults.get(kind))
    }

    /// What an administrator set for this account alone.
    pub fn own_limits(&self) -> &QuotaLimits {
        &self.limits
    }
}

/// Locks an account, so that of two requests at once the second sees what the first one took. A row that is written is
/// locked on either database.
///
/// # Errors
/// [`StoreError::Dangling`] when there is no such account.
pub async fn lock(tx: &mut Transaction, id: UserId) -> Result<Account, StoreError> {
    let row = sqlx::query("UPDATE users SET username = username WHERE id = $1 RETURNING username")
        .bind(id.to_string())
        .fetch_optional(&mut **tx)
        .await?;
    let name = text(&row.ok_or(StoreError::Dangling)?, "username")?;
    Ok(Account { id, name, limits: of(&mut **tx, id).await? })
}

/// What an administrator set for an account.
pub async fn of<'c>(executor: impl AnyExecutor<'c>, user: UserId) -> Result<QuotaLimits, StoreError> {
    let rows =
        sqlx::query("SELECT kind, value FROM quotas WHERE user_id = $1").bind(user.to_string()).fetch_all(executor);
    let limit = |row| Ok((parsed(row, "kind")?, Quota::from_number(narrow(row, "value")?)));
    rows.await?.iter().map(limit).collect()
}

/// What administrators set of one kind, by account.
pub async fn of_kind<'c>(
    executor: impl AnyExecutor<'c>,
    kind: QuotaKind,
) -> Result<HashMap<UserId, Quota>, StoreError> {
    let rows = sqlx::query("SELECT user_id, value FROM quotas WHERE kind = $1").bind(kind.as_str()).fetch_all(executor);
    let limit = |row| Ok((parsed(row, "user_id")?, Quota::from_number(narrow(row, "value")?)));
    rows.await?.iter().map(limit).collect()
}

/// Sets a limit for one account, or goes back to the operator's.
pub async fn set<'c>(
    executor: impl AnyExecutor<'c>,
    user: UserId,
    kind: QuotaKind,
    limit: Option<Quota>,
) -> Result<(), StoreError> {
    let sql = match limit {
        Some(_) => {
            "INSERT INTO quotas (user_id, kind, value) VALUES ($1, $2, $3) \
             ON CONFLICT (user_id, kind) DO UPDATE SET value = excluded.value"
        }
        None => "DELETE FROM quotas WHERE user_id = $1 AND kind = $2 AND value >= $3",
    };
    let value = limit.map_or(0, Quota::number);
    sqlx::query(sql)
        .bind(user.to_string())
        .bind(kind.as_str())
        .bind(i64::try_from(value).unwrap_or(i64::MAX))
        .execute(executor)
        .await?;
    Ok(())
}

/// How many rows of a kind an account has; `None` for kinds that are no rows.
pub async fn count<'c>(
    executor: impl AnyExecutor<'c>,
    user: UserId,
    kind: QuotaKind,
) -> Result<Option<u64>, StoreError> {
    let sql = match kind {
        QuotaKind::Apps => "SELECT COUNT(*) AS n FROM apps WHERE owner_id = $1",
        QuotaKind::Keys => "SELECT COUNT(*) AS n FROM ssh_keys WHERE user_id = $1",
        QuotaKind::Domains => {
            "SELECT COUNT(*) AS n FROM domains WHERE app_id IN (SELECT id FROM apps WHERE owner_id = $1)"
        }
        QuotaKind::Certificates => "SELECT COUNT(*) AS n FROM certificates WHERE owner_id = $1",
        QuotaKind::Collaborators => {
            "SELECT COUNT(*) AS n FROM collaborators WHERE app_id IN (SELECT id FROM apps WHERE owner_id = $1)"
        }
        QuotaKind::Ports => {
            "SELECT COUNT(*) AS n FROM published_ports JOIN group_instances ON group_instances.id = published_ports.instance_id \
             JOIN process_groups ON process_groups.id = group_instances.group_id WHERE process_groups.owner_id = $1"
        }
        QuotaKind::CronRuns => {
            "SELECT COUNT(*) AS n FROM cron_runs WHERE state IN ('starting', 'running') AND owner_id = $1"
        }
        _ => return Ok(None),
    };
    let row = sqlx::query(sql).bind(user.to_string()).fetch_one(executor).await?;
    narrow(&row, "n").map(Some)
}

/// Locks the account and refuses more rows of a kind than it may have.
pub async fn check_count(
    tx: &mut Transaction,
    defaults: &Quotas,
    user: UserId,
    kind: QuotaKind,
    more: u64,
) -> Result<Result<(), QuotaExceeded>, StoreError> {
    let account = lock(tx, user).await?;
    let used = count(&mut **tx, user, kind).await?.unwrap_or_default();
    Ok(QuotaExceeded::check(&account.name, kind, account.limit(defaults, kind), used, more))
}

/// What one app wants to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Instances of all process types.
    pub instances: u64,
    /// Memory that they may use together, in bytes.
    pub memory: u64,
}

impl Wanted {
    /// What a formation under these limits comes to. `memory` is that of an instance whose type has no limit, in bytes.
    pub fn of(formation: &Formation, limits: &Limits, memory: i64) -> Self {
        formation.0.iter().fold(Self::default(), |all, (process, count)| {
            let bytes = limits.memory_bytes(process.as_str()).unwrap_or(memory).unsigned_abs();
            all.and(Self { instances: u64::from(*count), memory: bytes.saturating_mul(u64::from(*count)) })
        })
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            instances: self.instances.saturating_add(other.instances),
            memory: self.memory.saturating_add(other.memory),
        }
    }

    fn max(self, other: Self) -> Self {
        Self { instances: self.instances.max(other.instances), memory: self.memory.max(other.memory) }
    }
}

/// What each app of an account wants to run: by its formation and latest release, or what an operation that is under way
/// brings it to, whichever is more. Apps that want nothing are left out.
pub async fn wanted(tx: &mut Transaction, owner: UserId, memory: i64) -> Result<HashMap<AppId, Wanted>, StoreError> {
    let rows = sqlx::query(
        "SELECT apps.id AS app_id, formations.process AS process, formations.wanted AS wanted, configs.limits AS limits \
         FROM apps JOIN formations ON formations.app_id = apps.id \
         JOIN releases ON releases.app_id = apps.id AND releases.version = \
         (SELECT MAX(version) FROM releases AS newest WHERE newest.app_id = apps.id AND newest.status = 'deployed') \
         JOIN configs ON configs.id = releases.config_id WHERE apps.owner_id = $1",
    )
    .bind(owner.to_string())
    .fetch_all(&mut **tx)
    .await?;
    let mut all: HashMap<AppId, Wanted> = HashMap::new();
    for row in &rows {
        let limits = serde_json::from_str(&text(row, "limits")?);
        let limits = limits.map_err(|_| StoreError::Corrupt { column: "limits", value: "not JSON".to_owned() })?;
        let formation = Formation([(parsed(row, "process")?, narrow(row, "wanted")?)].into());
        let app = all.entry(parsed(row, "app_id")?).or_default();
        *app = app.and(Wanted::of(&formation, &limits, memory));
    }
    let rows = sqlx::query(
        "SELECT apps.id AS app_id, operations.wanted_instances AS instances, operations.wanted_memory AS memory \
         FROM apps JOIN operations ON operations.lock_key = apps.id WHERE apps.owner_id = $1",
    )
    .bind(owner.to_string())
    .fetch_all(&mut **tx)
    .await?;
    for row in &rows {
        let under_way = Wanted { instances: narrow(row, "instances")?, memory: narrow(row, "memory")? };
        let app = all.entry(parsed(row, "app_id")?).or_default();
        *app = app.max(under_way);
    }
    Ok(all)
}

/// Keeps what an operation brings its app to, as long as the operation is live.
pub async fn keep<'c>(
    executor: impl AnyExecutor<'c>,
    operation: &OperationId,
    wanted: Wanted,
) -> Result<(), StoreError> {
    let number = |value| i64::try_from(value).unwrap_or(i64::MAX);
    sqlx::query("UPDATE operations SET wanted_instances = $2, wanted_memory = $3 WHERE id = $1")
        .bind(operation.to_string())
        .bind(number(wanted.instances))
        .bind(number(wanted.memory))
        .execute(executor)
        .await?;
    Ok(())
}

/// Ports outside of the operator's range that an account may publish, ascending.
pub async fn granted_ports<'c>(executor: impl AnyExecutor<'c>, user: UserId) -> Result<Vec<u16>, StoreError> {
    let rows = sqlx::query("SELECT port FROM port_grants WHERE user_id = $1 ORDER BY port")
        .bind(user.to_string())
        .fetch_all(executor)
        .await?;
    rows.iter().map(|row| narrow(row, "port")).collect()
}

/// Replaces the ports that an account may publish outside of the operator's range.
pub async fn set_granted_ports(tx: &mut Transaction, user: UserId, ports: &[u16]) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM port_grants WHERE user_id = $1").bind(user.to_string()).execute(&mut **tx).await?;
    for port in ports {
        sqlx::query("INSERT INTO port_grants (user_id, port) VALUES ($1, $2) ON CONFLICT (user_id, port) DO NOTHING")
            .bind(user.to_string())
            .bind(i64::from(*port))
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// Bytes of the present config that takes most, sealed, of all apps of an account.
pub async fn largest_config<'c>(executor: impl AnyExecutor<'c>, user: UserId) -> Result<u64, StoreError> {
    let row = sqlx::query(
        "SELECT CAST(COALESCE(MAX(LENGTH(configs.sealed_values)), 0) AS BIGINT) AS n FROM configs \
         JOIN apps ON apps.id = configs.app_id WHERE apps.owner_id = $1",
    )
    .bind(user.to_string())
    .fetch_one(executor)
    .await?;
    Ok(integer(&row, "n")?.unsigned_abs())
}

/// Deployed releases of the app that has most, of all apps of an account.
pub async fn most_releases<'c>(executor: impl AnyExecutor<'c>, user: UserId) -> Result<u64, StoreError> {
    let row = sqlx::query(
        "SELECT CAST(COALESCE(MAX(n), 0) AS BIGINT) AS n FROM (SELECT COUNT(*) AS n FROM releases \
         JOIN apps ON apps.id = releases.app_id WHERE apps.owner_id = $1 GROUP BY releases.app_id) AS counted",
    )
    .bind(user.to_string())
    .fetch_one(executor)
    .await?;
    Ok(integer(&row, "n")?.unsigned_abs())
}
