//! Process groups, and the links between them.

use sqlx::AnyExecutor;
use sqlx::any::AnyRow;

use super::rows::{flag, integer, maybe_parsed, maybe_text, narrow, parsed, text, time};
use super::{StoreError, Transaction};
use crate::model::{
    AppId, GroupId, GroupLink, GroupPort, Policies, ProcessGroup, ProcessType, Size, TOMBSTONE_MILLIS, Timestamp,
    UserId,
};

const SELECT: &str = "SELECT g.*, users.id AS present_owner, users.username AS owner FROM process_groups g \
                      LEFT JOIN apps ON apps.id = g.app_id JOIN users ON users.id = COALESCE(apps.owner_id, g.owner_id)";

fn group(row: &AnyRow) -> Result<ProcessGroup, StoreError> {
    Ok(ProcessGroup {
        id: parsed(row, "id")?,
        app_id: parsed(row, "app_id")?,
        process: parsed(row, "process")?,
        owner_id: parsed(row, "present_owner")?,
        owner: parsed(row, "owner")?,
        name: text(row, "name")?,
        unique_name: text(row, "unique_name")?,
        is_managed: flag(row, "is_managed")?,
        image: text(row, "image")?,
        wanted: narrow(row, "wanted")?,
        should_run: flag(row, "should_run")?,
        command: command(row, "command")?,
        entrypoint: command(row, "entrypoint")?,
        image_command: json(row, "image_command")?,
        image_entrypoint: json(row, "image_entrypoint")?,
        ports: json(row, "ports")?,
        takes_image_ports: flag(row, "takes_image_ports")?,
        size: Size {
            name: text(row, "size")?,
            memory_bytes: sqlx::Row::try_get(row, "memory_bytes")?,
            cpu_shares: sqlx::Row::try_get(row, "cpu_shares")?,
        },
        policies: Policies {
            restart: parsed(row, "restart_policy")?,
            replace: parsed(row, "replace_policy")?,
            destroy: parsed(row, "destroy_policy")?,
        },
        is_sequential: flag(row, "is_sequential")?,
        grants: json(row, "grants")?,
        terms: json(row, "terms")?,
        domain: maybe_text(row, "domain")?,
        created_at: time(row, "created_at")?,
        deployed_at: maybe_time(row, "deployed_at")?,
        started_at: maybe_time(row, "started_at")?,
        stopped_at: maybe_time(row, "stopped_at")?,
        destroyed_at: maybe_time(row, "destroyed_at")?,
    })
}

pub(super) fn maybe_time(row: &AnyRow, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
    let millis: Option<i64> = sqlx::Row::try_get(row, column)?;
    Ok(millis.map(Timestamp::from_millis))
}

pub(super) fn json<T: serde::de::DeserializeOwned>(row: &AnyRow, column: &'static str) -> Result<T, StoreError> {
    let value = text(row, column)?;
    serde_json::from_str(&value).map_err(|_| StoreError::Corrupt { column, value })
}

fn command(row: &AnyRow, column: &'static str) -> Result<Option<crate::model::CommandLine>, StoreError> {
    let parse =
        |value: String| crate::model::CommandLine::parse(&value).map_err(|_| StoreError::Corrupt { column, value });
    maybe_text(row, column)?.map(parse).transpose()
}

fn printed<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("what groups are made of is JSON")
}

/// Records a group.
///
/// # Errors
/// [`StoreError::Duplicate`] when the process type of that app has one.
pub async fn insert<'c>(executor: impl AnyExecutor<'c>, new: &ProcessGroup) -> Result<(), StoreError> {
    let given = |line: &Option<crate::model::CommandLine>| line.as_ref().map(|line| line.text().to_owned());
    sqlx::query(
        "INSERT INTO process_groups (id, app_id, process, owner_id, name, unique_name, is_managed, image, wanted, \
         should_run, command, entrypoint, image_command, image_entrypoint, ports, takes_image_ports, size, memory_bytes, \
         cpu_shares, restart_policy, replace_policy, destroy_policy, is_sequential, grants, terms, domain, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, \
         $23, $24, $25, $26, $27)",
    )
    .bind(new.id.to_string())
    .bind(new.app_id.to_string())
    .bind(new.process.as_str())
    .bind(new.owner_id.to_string())
    .bind(&new.name)
    .bind(&new.unique_name)
    .bind(i64::from(new.is_managed))
    .bind(&new.image)
    .bind(i64::from(new.wanted))
    .bind(i64::from(new.should_run))
    .bind(given(&new.command))
    .bind(given(&new.entrypoint))
    .bind(printed(&new.image_command))
    .bind(printed(&new.image_entrypoint))
    .bind(printed(&new.ports))
    .bind(i64::from(new.takes_image_ports))
    .bind(&new.size.name)
    .bind(new.size.memory_bytes)
    .bind(new.size.cpu_shares)
    .bind(new.policies.restart.as_str())
    .bind(new.policies.replace.as_str())
    .bind(new.policies.destroy.as_str())
    .bind(i64::from(new.is_sequential))
    .bind(printed(&new.grants))
    .bind(printed(&new.terms))
    .bind(new.domain.as_deref())
    .bind(new.created_at.millis())
    .execute(executor)
    .await?;
    Ok(())
}

/// Orders what follows in the transaction behind every other one that did the same with this group. False when there is no
/// such group.
pub async fn lock<'c>(executor: impl AnyExecutor<'c>, id: GroupId) -> Result<bool, StoreError> {
    let done = sqlx::query("UPDATE process_groups SET wanted = wanted WHERE id = $1")
        .bind(id.to_string())
        .execute(executor)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// A group that is there or was terminated less than five minutes ago.
pub async fn by_id<'c>(executor: impl AnyExecutor<'c>, id: GroupId) -> Result<Option<ProcessGroup>, StoreError> {
    let sql =
        sqlx::AssertSqlSafe(format!("{SELECT} WHERE g.id = $1 AND (g.destroyed_at IS NULL OR g.destroyed_at > $2)"));
    let row = sqlx::query(sql).bind(id.to_string()).bind(oldest_shown()).fetch_optional(executor).await?;
    row.as_ref().map(group).transpose()
}

/// When what is still shown was terminated at the earliest.
pub(super) fn oldest_shown() -> i64 {
    Timestamp::now().millis() - TOMBSTONE_MILLIS
}

/// The groups of a person's apps, in order of creation; those that were terminated less than five minutes ago, too.
pub async fn of_owner<'c>(executor: impl AnyExecutor<'c>, owner: UserId) -> Result<Vec<ProcessGroup>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!(
        "{SELECT} WHERE COALESCE(apps.owner_id, g.owner_id) = $1 AND (g.destroyed_at IS NULL OR g.destroyed_at > $2) \
         ORDER BY g.created_at, g.id"
    ));
    let rows = sqlx::query(sql).bind(owner.to_string()).bind(oldest_shown()).fetch_all(executor).await?;
    rows.iter().map(group).collect()
}

/// The groups of an app that are not terminated.
pub async fn of_app<'c>(executor: impl AnyExecutor<'c>, app: AppId) -> Result<Vec<ProcessGroup>, StoreError> {
    let sql =
        sqlx::AssertSqlSafe(format!("{SELECT} WHERE g.app_id = $1 AND g.destroyed_at IS NULL ORDER BY g.process"));
    let rows = sqlx::query(sql).bind(app.to_string()).fetch_all(executor).await?;
    rows.iter().map(group).collect()
}

/// The managed group of an app, if the app is one.
pub async fn managed_of_app<'c>(
    executor: impl AnyExecutor<'c>,
    app: AppId,
) -> Result<Option<ProcessGroup>, StoreError> {
    let sql =
        sqlx::AssertSqlSafe(format!("{SELECT} WHERE g.app_id = $1 AND g.is_managed = 1 AND g.destroyed_at IS NULL"));
    let row = sqlx::query(sql).bind(app.to_string()).fetch_optional(executor).await?;
    row.as_ref().map(group).transpose()
}

/// All managed groups that are not terminated.
pub async fn managed<'c>(executor: impl AnyExecutor<'c>) -> Result<Vec<ProcessGroup>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("{SELECT} WHERE g.is_managed = 1 AND g.destroyed_at IS NULL ORDER BY g.id"));
    let rows = sqlx::query(sql).fetch_all(executor).await?;
    rows.iter().map(group).collect()
}

/// Whether a group that is not terminated has that unique name.
pub async fn is_name_taken<'c>(executor: impl AnyExecutor<'c>, unique_name: &str) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM process_groups WHERE unique_name = $1 AND destroyed_at IS NULL")
        .bind(unique_name)
        .fetch_one(executor)
        .await?;
    Ok(integer(&row, "n")? > 0)
}

/// Process types of a person's apps that were deployed and are no groups yet.
pub async fn unnamed_of_owner<'c>(
    executor: impl AnyExecutor<'c>,
    owner: UserId,
) -> Result<Vec<(AppId, ProcessType)>, StoreError> {
    let rows = sqlx::query(
        "SELECT f.app_id AS app_id, f.process AS process FROM formations f JOIN apps ON apps.id = f.app_id \
         WHERE apps.owner_id = $1 AND NOT EXISTS \
         (SELECT 1 FROM process_groups g WHERE g.app_id = f.app_id AND g.process = f.process)",
    )
    .bind(owner.to_string())
    .fetch_all(executor)
    .await?;
    rows.iter().map(|row| Ok((parsed(row, "app_id")?, parsed(row, "process")?))).collect()
}

async fn update<'c>(
    executor: impl AnyExecutor<'c>,
    id: GroupId,
    column: &'static str,
    value: i64,
) -> Result<(), StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("UPDATE process_groups SET {column} = $2 WHERE id = $1"));
    sqlx::query(sql).bind(id.to_string()).bind(value).execute(executor).await?;
    Ok(())
}

/// Sets the wanted count of a group, and of its process type.
pub async fn set_wanted(tx: &mut Transaction, group: &ProcessGroup, wanted: u32) -> Result<(), StoreError> {
    update(&mut **tx, group.id, "wanted", i64::from(wanted)).await?;
    sqlx::query("UPDATE formations SET wanted = $3 WHERE app_id = $1 AND process = $2")
        .bind(group.app_id.to_string())
        .bind(group.process.as_str())
        .bind(i64::from(wanted))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Records the last wish about running.
pub async fn set_should_run<'c>(
    executor: impl AnyExecutor<'c>,
    id: GroupId,
    should_run: bool,
) -> Result<(), StoreError> {
    update(executor, id, "should_run", i64::from(should_run)).await
}

/// Records that a process type of an app is wanted to run: something of it was started.
pub async fn set_type_running<'c>(
    executor: impl AnyExecutor<'c>,
    app: AppId,
    process: &ProcessType,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE process_groups SET should_run = 1 WHERE app_id = $1 AND process = $2 AND should_run = 0")
        .bind(app.to_string())
        .bind(process.as_str())
        .execute(executor)
        .await?;
    Ok(())
}

/// Sets the policies.
pub async fn set_policies<'c>(
    executor: impl AnyExecutor<'c>,
    id: GroupId,
    policies: &Policies,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE process_groups SET restart_policy = $2, replace_policy = $3, destroy_policy = $4 WHERE id = $1",
    )
    .bind(id.to_string())
    .bind(policies.restart.as_str())
    .bind(policies.replace.as_str())
    .bind(policies.destroy.as_str())
    .execute(executor)
    .await?;
    Ok(())
}

/// Sets what bounds each container.
pub async fn set_size<'c>(executor: impl AnyExecutor<'c>, id: GroupId, size: &Size) -> Result<(), StoreError> {
    sqlx::query("UPDATE process_groups SET size = $2, memory_bytes = $3, cpu_shares = $4 WHERE id = $1")
        .bind(id.to_string())
        .bind(&size.name)
        .bind(size.memory_bytes)
        .bind(size.cpu_shares)
        .execute(executor)
        .await?;
    Ok(())
}

/// Sets the host name of its own.
pub async fn set_domain<'c>(executor: impl AnyExecutor<'c>, id: GroupId, domain: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE process_groups SET domain = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(domain)
        .execute(executor)
        .await?;
    Ok(())
}

/// Sets the image that containers are deployed from.
pub async fn set_image<'c>(executor: impl AnyExecutor<'c>, id: GroupId, image: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE process_groups SET image = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(image)
        .execute(executor)
        .await?;
    Ok(())
}

/// Records what the image itself says: its command, its entry point and the ports it exposes, which become the group's
/// where no others were asked for.
pub async fn set_image_facts<'c>(
    executor: impl AnyExecutor<'c>,
    id: GroupId,
    command: &[String],
    entrypoint: &[String],
    exposed: &[GroupPort],
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE process_groups SET image_command = $2, image_entrypoint = $3, \
         ports = CASE WHEN takes_image_ports = 1 THEN $4 ELSE ports END WHERE id = $1",
    )
    .bind(id.to_string())
    .bind(printed(&command))
    .bind(printed(&entrypoint))
    .bind(printed(&exposed))
    .execute(executor)
    .await?;
    Ok(())
}

/// What was completed with a group, for its dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completed {
    /// Its containers were deployed, which starts them, too.
    Deployment,
    /// A start of stopped containers.
    Start,
    /// A stop.
    Stop,
}

/// Dates what was completed just now.
pub async fn mark<'c>(executor: impl AnyExecutor<'c>, id: GroupId, what: Completed) -> Result<(), StoreError> {
    let columns = match what {
        Completed::Deployment => "deployed_at = $2, started_at = $2",
        Completed::Start => "started_at = $2",
        Completed::Stop => "stopped_at = $2",
    };
    let sql = sqlx::AssertSqlSafe(format!("UPDATE process_groups SET {columns} WHERE id = $1"));
    sqlx::query(sql).bind(id.to_string()).bind(Timestamp::now().millis()).execute(executor).await?;
    Ok(())
}

/// Ends the groups of an app that is gone, and the links from and to them.
pub async fn mark_destroyed_of_app(tx: &mut Transaction, app: AppId) -> Result<(), StoreError> {
    for column in ["from_id", "to_id"] {
        let sql = sqlx::AssertSqlSafe(format!(
            "DELETE FROM group_links WHERE {column} IN (SELECT id FROM process_groups WHERE app_id = $1)"
        ));
        sqlx::query(sql).bind(app.to_string()).execute(&mut **tx).await?;
    }
    sqlx::query("UPDATE process_groups SET destroyed_at = $2 WHERE app_id = $1 AND destroyed_at IS NULL")
        .bind(app.to_string())
        .bind(Timestamp::now().millis())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets groups and instances that are no longer shown.
pub async fn delete_old(tx: &mut Transaction) -> Result<(), StoreError> {
    for table in ["group_instances", "process_groups"] {
        let sql = sqlx::AssertSqlSafe(format!("DELETE FROM {table} WHERE destroyed_at <= $1"));
        sqlx::query(sql).bind(oldest_shown()).execute(&mut **tx).await?;
    }
    Ok(())
}

fn link(row: &AnyRow) -> Result<GroupLink, StoreError> {
    Ok(GroupLink {
        from: parsed(row, "from_id")?,
        to: parsed(row, "to_id")?,
        name: maybe_text(row, "name")?,
        to_unique_name: text(row, "to_unique_name")?,
    })
}

const SELECT_LINKS: &str = "SELECT l.from_id AS from_id, l.to_id AS to_id, l.name AS name, t.unique_name AS \
                            to_unique_name FROM group_links l JOIN process_groups t ON t.id = l.to_id \
                            JOIN process_groups s ON s.id = l.from_id";

/// Records a group's links, in order.
pub async fn insert_links(tx: &mut Transaction, links: &[GroupLink]) -> Result<(), StoreError> {
    for (position, link) in (0_i64..).zip(links) {
        sqlx::query("INSERT INTO group_links (from_id, position, to_id, name) VALUES ($1, $2, $3, $4)")
            .bind(link.from.to_string())
            .bind(position)
            .bind(link.to.to_string())
            .bind(link.name.as_deref())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// Links from a group, in the order in which they were given.
pub async fn links_from<'c>(executor: impl AnyExecutor<'c>, id: GroupId) -> Result<Vec<GroupLink>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("{SELECT_LINKS} WHERE l.from_id = $1 ORDER BY l.position"));
    let rows = sqlx::query(sql).bind(id.to_string()).fetch_all(executor).await?;
    rows.iter().map(link).collect()
}

/// Links to a group, those of older groups first.
pub async fn links_to<'c>(executor: impl AnyExecutor<'c>, id: GroupId) -> Result<Vec<GroupLink>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("{SELECT_LINKS} WHERE l.to_id = $1 ORDER BY s.created_at, s.id, l.position"));
    let rows = sqlx::query(sql).bind(id.to_string()).fetch_all(executor).await?;
    rows.iter().map(link).collect()
}

/// The group of a process type of an app, whether or not it is terminated.
pub async fn of_process<'c>(
    executor: impl AnyExecutor<'c>,
    app: AppId,
    process: &ProcessType,
) -> Result<Option<GroupId>, StoreError> {
    let row = sqlx::query("SELECT id FROM process_groups WHERE app_id = $1 AND process = $2")
        .bind(app.to_string())
        .bind(process.as_str())
        .fetch_optional(executor)
        .await?;
    row.as_ref().map(|row| maybe_parsed(row, "id")).transpose().map(Option::flatten)
}
