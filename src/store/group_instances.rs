//! Instances of managed process groups, and the ports of the host that they have.

use std::collections::HashMap;

use sqlx::any::AnyRow;
use sqlx::{AnyExecutor, Row};

use super::process_groups::{maybe_time, oldest_shown};
use super::rows::{flag, maybe_text, narrow, parsed, text, time};
use super::{Sealer, Store, StoreError, Transaction};
use crate::model::{
    AppId, Environment, GroupId, GroupInstance, GroupInstanceState, InstanceId, Protocol, PublishedPort, Timestamp,
    UserId,
};

fn instance(row: &AnyRow) -> Result<GroupInstance, StoreError> {
    Ok(GroupInstance {
        id: parsed(row, "id")?,
        group_id: parsed(row, "group_id")?,
        app_id: parsed(row, "app_id")?,
        release_id: parsed(row, "release_id")?,
        number: narrow(row, "number")?,
        state: parsed(row, "state")?,
        is_automatic: flag(row, "is_automatic")?,
        image: text(row, "image")?,
        exit_code: row.try_get("exit_code")?,
        exit_message: maybe_text(row, "exit_message")?,
        ports: Vec::new(),
        created_at: time(row, "created_at")?,
        deployed_at: maybe_time(row, "deployed_at")?,
        started_at: maybe_time(row, "started_at")?,
        stopped_at: maybe_time(row, "stopped_at")?,
        destroyed_at: maybe_time(row, "destroyed_at")?,
    })
}

/// Which instances.
#[derive(Debug, Clone, Copy)]
pub enum Of<'a> {
    /// That one.
    Id(InstanceId),
    /// A group's.
    Group(GroupId),
    /// An app's.
    App(AppId),
    /// Those of the apps of a person.
    Owner(UserId),
    /// All in any of these states.
    States(&'a [GroupInstanceState]),
}

/// Instances in order of creation and number, with their ports; those that were terminated less than five minutes ago, too.
pub async fn list(tx: &mut sqlx::AnyConnection, of: Of<'_>) -> Result<Vec<GroupInstance>, StoreError> {
    let (filter, value) = match of {
        Of::Id(id) => ("i.id = $1".to_owned(), id.to_string()),
        Of::Group(id) => ("i.group_id = $1".to_owned(), id.to_string()),
        Of::App(id) => ("i.app_id = $1".to_owned(), id.to_string()),
        Of::Owner(id) => (
            "i.group_id IN (SELECT g.id FROM process_groups g LEFT JOIN apps ON apps.id = g.app_id \
             WHERE COALESCE(apps.owner_id, g.owner_id) = $1)"
                .to_owned(),
            id.to_string(),
        ),
        Of::States(states) => {
            let words: Vec<String> = states.iter().map(|state| format!("'{state}'")).collect();
            (format!("$1 = '' AND i.state IN ({})", words.join(", ")), String::new())
        }
    };
    let shown = "(i.destroyed_at IS NULL OR i.destroyed_at > $2)";
    let sql =
        format!("SELECT i.* FROM group_instances i WHERE {filter} AND {shown} ORDER BY i.created_at, i.number, i.id");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(&value).bind(oldest_shown()).fetch_all(&mut *tx).await?;
    let mut found = rows.iter().map(instance).collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() {
        return Ok(found);
    }
    let sql = format!(
        "SELECT p.instance_id AS instance_id, p.protocol AS protocol, p.inner_port AS inner_port, p.outer_port AS \
         outer_port FROM published_ports p JOIN group_instances i ON i.id = p.instance_id WHERE {filter} AND {shown} \
         ORDER BY p.inner_port, p.protocol"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(&value).bind(oldest_shown()).fetch_all(&mut *tx).await?;
    let mut ports: HashMap<InstanceId, Vec<PublishedPort>> = HashMap::new();
    for row in &rows {
        let port = PublishedPort {
            inner: narrow(row, "inner_port")?,
            protocol: parsed(row, "protocol")?,
            outer: narrow(row, "outer_port")?,
        };
        ports.entry(parsed(row, "instance_id")?).or_default().push(port);
    }
    for instance in &mut found {
        instance.ports = ports.remove(&instance.id).unwrap_or_default();
    }
    Ok(found)
}

/// [`list`] outside of a transaction.
pub async fn find(store: &Store, of: Of<'_>) -> Result<Vec<GroupInstance>, StoreError> {
    let mut connection = store.pool().acquire().await?;
    list(&mut connection, of).await
}

/// One instance.
pub async fn get(store: &Store, id: InstanceId) -> Result<Option<GroupInstance>, StoreError> {
    Ok(find(store, Of::Id(id)).await?.pop())
}

/// Records an instance before anything of it exists in the engine.
pub async fn insert<'c>(executor: impl AnyExecutor<'c>, new: &GroupInstance) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO group_instances (id, group_id, app_id, release_id, number, state, is_automatic, image, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(new.id.to_string())
    .bind(new.group_id.to_string())
    .bind(new.app_id.to_string())
    .bind(new.release_id.to_string())
    .bind(i64::from(new.number))
    .bind(new.state.as_str())
    .bind(i64::from(new.is_automatic))
    .bind(&new.image)
    .bind(new.created_at.millis())
    .execute(executor)
    .await?;
    Ok(())
}

/// A change of an instance, from one of some states.
#[derive(Debug, Clone, PartialEq)]
pub enum Move {
    /// To be started on request: what is known of its last end is forgotten.
    Start,
    /// To be started again by a policy, after it ended with this exit code and its meaning.
    Restart(i64, String),
    /// It runs.
    Run,
    /// To be stopped.
    Stop,
    /// It does not run any more, with this exit code and its meaning. From *running* nobody had asked for that.
    Ended(i64, String),
    /// It could not be started; why.
    NotStarted(String),
    /// To be destroyed.
    Terminate,
    /// It is gone.
    Gone,
}

/// Moves an instance on if it is in one of the states `from`; tells whether it was. Of two at once one wins.
pub async fn advance<'c>(
    executor: impl AnyExecutor<'c>,
    id: InstanceId,
    from: &[GroupInstanceState],
    to: &Move,
) -> Result<bool, StoreError> {
    use GroupInstanceState as State;
    let (state, rest) = match to {
        Move::Start => (State::Starting, ", is_automatic = 0, exit_code = NULL, exit_message = NULL"),
        Move::Restart(..) => {
            (State::Starting, ", is_automatic = 1, stopped_at = $2, exit_code = $3, exit_message = $4")
        }
        Move::Run => (
            State::Running,
            ", is_automatic = 0, exit_code = NULL, exit_message = NULL, started_at = $2, \
             deployed_at = COALESCE(deployed_at, $2)",
        ),
        Move::Stop => (State::Stopping, ", is_automatic = 0"),
        Move::Ended(..) => (
            State::Stopped,
            ", is_automatic = CASE WHEN state = 'running' THEN 1 ELSE 0 END, stopped_at = $2, exit_code = $3, \
             exit_message = $4",
        ),
        Move::NotStarted(_) => (State::Stopped, ", is_automatic = 0, stopped_at = $2, exit_message = $4"),
        Move::Terminate => (State::Terminating, ", is_automatic = 0"),
        Move::Gone => (State::Terminated, ", destroyed_at = $2, credential_digest = NULL"),
    };
    let (code, message) = match to {
        Move::Ended(code, message) | Move::Restart(code, message) => (Some(*code), Some(message.as_str())),
        Move::NotStarted(message) => (None, Some(message.as_str())),
        _ => (None, None),
    };
    let states: Vec<String> = from.iter().map(|state| format!("'{state}'")).collect();
    // The first comparison gives every placeholder a use and a type, whatever the change.
    let sql = format!(
        "UPDATE group_instances SET state = '{state}'{rest} WHERE id = $1 AND state IN ({}) \
         AND (CAST($2 AS BIGINT) >= 0 OR CAST($3 AS BIGINT) = 0 OR CAST($4 AS TEXT) = '')",
        states.join(", ")
    );
    let done = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(id.to_string())
        .bind(Timestamp::now().millis())
        .bind(code)
        .bind(message)
        .execute(executor)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Gives back the ports of the host that an instance has.
pub async fn release_ports<'c>(executor: impl AnyExecutor<'c>, id: InstanceId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM published_ports WHERE instance_id = $1").bind(id.to_string()).execute(executor).await?;
    Ok(())
}

/// Reserves a port of the host for an instance.
///
/// # Errors
/// [`StoreError::Duplicate`] when another one has it.
pub async fn reserve_port<'c>(
    executor: impl AnyExecutor<'c>,
    id: InstanceId,
    port: PublishedPort,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO published_ports (protocol, outer_port, inner_port, instance_id) VALUES ($1, $2, $3, $4)")
        .bind(port.protocol.as_str())
        .bind(i64::from(port.outer))
        .bind(i64::from(port.inner))
        .bind(id.to_string())
        .execute(executor)
        .await?;
    Ok(())
}

/// Whether a port of the host is some instance's.
pub async fn is_port_reserved<'c>(
    executor: impl AnyExecutor<'c>,
    protocol: Protocol,
    outer: u16,
) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM published_ports WHERE protocol = $1 AND outer_port = $2")
        .bind(protocol.as_str())
        .bind(i64::from(outer))
        .fetch_one(executor)
        .await?;
    Ok(super::rows::integer(&row, "n")? > 0)
}

/// Records what is about to be put into an instance's container: environment, and the digest of its credential.
pub async fn set_environment<'c>(
    executor: impl AnyExecutor<'c>,
    sealer: &Sealer,
    id: InstanceId,
    environment: &Environment,
    credential_digest: Option<&str>,
) -> Result<(), StoreError> {
    let plain = serde_json::to_vec(environment).expect("an environment is JSON");
    sqlx::query("UPDATE group_instances SET sealed_environment = $2, credential_digest = $3 WHERE id = $1")
        .bind(id.to_string())
        .bind(sealer.seal(&plain, &id.to_string()))
        .bind(credential_digest)
        .execute(executor)
        .await?;
    Ok(())
}

/// What was put into an instance's container; `None` when it was never deployed.
pub async fn environment<'c>(
    executor: impl AnyExecutor<'c>,
    sealer: &Sealer,
    id: InstanceId,
) -> Result<Option<Environment>, StoreError> {
    let row = sqlx::query("SELECT sealed_environment FROM group_instances WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(executor)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let Some(sealed) = row.try_get::<Option<Vec<u8>>, _>("sealed_environment")? else { return Ok(None) };
    let plain = sealer.open(&sealed, &id.to_string())?;
    let corrupt = |_| StoreError::Corrupt { column: "sealed_environment", value: "not JSON".to_owned() };
    Ok(Some(serde_json::from_slice(&plain).map_err(corrupt)?))
}

/// The instance that holds the credential of that digest, unless it or its group is on its way out: then the credential is
/// void.
pub async fn by_credential<'c>(executor: impl AnyExecutor<'c>, digest: &str) -> Result<Option<GroupId>, StoreError> {
    let row = sqlx::query(
        "SELECT i.group_id AS group_id FROM group_instances i JOIN process_groups g ON g.id = i.group_id \
         WHERE i.credential_digest = $1 AND i.state <> 'terminated' AND g.destroyed_at IS NULL",
    )
    .bind(digest)
    .fetch_optional(executor)
    .await?;
    row.as_ref().map(|row| parsed(row, "group_id")).transpose()
}

/// Ids of all instances whose containers are accounted for.
pub async fn ids<'c>(executor: impl AnyExecutor<'c>) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query("SELECT id FROM group_instances WHERE state <> 'terminated'").fetch_all(executor).await?;
    rows.iter().map(|row| text(row, "id")).collect()
}

/// Ends all instances of an app at once, in the transaction that ends the app.
pub async fn all_gone(tx: &mut Transaction, app: AppId) -> Result<(), StoreError> {
    let now = Timestamp::now().millis();
    sqlx::query("DELETE FROM published_ports WHERE instance_id IN (SELECT id FROM group_instances WHERE app_id = $1)")
        .bind(app.to_string())
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "UPDATE group_instances SET state = 'terminated', destroyed_at = $2, credential_digest = NULL \
         WHERE app_id = $1 AND state <> 'terminated'",
    )
    .bind(app.to_string())
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Makes the credentials of an app's containers worthless, and gives none to those that come: they act for whoever owns the app.
pub async fn void_credentials(tx: &mut Transaction, app: AppId) -> Result<(), StoreError> {
    for sql in [
        "UPDATE group_instances SET credential_digest = NULL \
         WHERE group_id IN (SELECT id FROM process_groups WHERE app_id = $1)",
        "UPDATE process_groups SET grants = '[]' WHERE app_id = $1",
    ] {
        sqlx::query(sql).bind(app.to_string()).execute(&mut **tx).await?;
    }
    Ok(())
}
