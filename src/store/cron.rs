//! Scheduled commands: when the tasks of current releases are due, and their runs.

use std::collections::HashMap;

use sqlx::any::AnyRow;
use sqlx::{AnyExecutor, Row};

use super::rows::{narrow, parsed, text, time};
use super::{StoreError, Transaction};
use crate::model::{
    AppId, CronRun, CronRunState, CronSchedule, CronTask, CronTaskId, InstanceId, Timestamp, UserId, Zone,
};

/// Ended runs that are kept of each task: the newest ones.
const RUNS_KEPT: i64 = 10;

/// A task whose time has come.
#[derive(Debug, Clone)]
pub struct DueTask {
    /// Whose task.
    pub app_id: AppId,
    /// Whose app.
    pub owner_id: UserId,
    /// Which one.
    pub id: CronTaskId,
    /// The first moment that was not looked at yet.
    pub next_at: Timestamp,
}

/// Gives an app the tasks of its new release; in the transaction that switches to it. A task whose schedule stays as it
/// was keeps what is due; of tasks that are gone, so are the runs that have ended.
pub async fn replace(tx: &mut Transaction, app: AppId, tasks: &[CronTask], now: Timestamp) -> Result<(), StoreError> {
    let rows = sqlx::query("DELETE FROM cron_tasks WHERE app_id = $1 RETURNING id, schedule, zone, next_at")
        .bind(app.to_string())
        .fetch_all(&mut **tx)
        .await?;
    let mut before = HashMap::new();
    for row in &rows {
        let next: Option<i64> = row.try_get("next_at")?;
        before.insert(text(row, "id")?, (text(row, "schedule")?, text(row, "zone")?, next));
    }
    for task in tasks {
        let (schedule, zone) = (task.schedule.as_str(), task.zone.as_str());
        let same = before.get(task.id.as_str()).filter(|(old, place, _)| old == schedule && place == zone);
        let kept = same.and_then(|(_, _, next)| *next).filter(|_| !task.is_paused);
        sqlx::query("INSERT INTO cron_tasks (app_id, id, schedule, zone, next_at) VALUES ($1, $2, $3, $4, $5)")
            .bind(app.to_string())
            .bind(task.id.as_str())
            .bind(schedule)
            .bind(zone)
            .bind(kept.or_else(|| task.next(now).map(Timestamp::millis)))
            .execute(&mut **tx)
            .await?;
    }
    if !rows.is_empty() {
        delete_of_gone_tasks(&mut **tx, app).await?;
    }
    Ok(())
}

/// When each task of an app is due next; `None` for one that is paused.
pub async fn next_times<'c>(
    executor: impl AnyExecutor<'c>,
    app: AppId,
) -> Result<HashMap<CronTaskId, Option<Timestamp>>, StoreError> {
    let rows = sqlx::query("SELECT id, next_at FROM cron_tasks WHERE app_id = $1")
        .bind(app.to_string())
        .fetch_all(executor)
        .await?;
    rows.iter().map(|row| Ok((parsed(row, "id")?, maybe_time(row, "next_at")?))).collect()
}

/// The tasks of all apps whose time has come, the one that waits longest first.
pub async fn due<'c>(executor: impl AnyExecutor<'c>, now: Timestamp) -> Result<Vec<DueTask>, StoreError> {
    let rows = sqlx::query(
        "SELECT cron_tasks.app_id, cron_tasks.id, cron_tasks.next_at, apps.owner_id FROM cron_tasks \
         JOIN apps ON apps.id = cron_tasks.app_id WHERE cron_tasks.next_at <= $1 AND apps.is_destroying = 0 \
         ORDER BY cron_tasks.next_at, cron_tasks.app_id, cron_tasks.id",
    )
    .bind(now.millis())
    .fetch_all(executor)
    .await?;
    let due = |row: &AnyRow| {
        Ok(DueTask {
            app_id: parsed(row, "app_id")?,
            owner_id: parsed(row, "owner_id")?,
            id: parsed(row, "id")?,
            next_at: time(row, "next_at")?,
        })
    };
    rows.iter().map(due).collect()
}

/// Moves a task on to the moment that it is due next, if any; says whether nobody else did.
pub async fn advance<'c>(
    executor: impl AnyExecutor<'c>,
    task: &DueTask,
    next: Option<Timestamp>,
) -> Result<bool, StoreError> {
    let done = sqlx::query("UPDATE cron_tasks SET next_at = $4 WHERE app_id = $1 AND id = $2 AND next_at = $3")
        .bind(task.app_id.to_string())
        .bind(task.id.as_str())
        .bind(task.next_at.millis())
        .bind(next.map(Timestamp::millis))
        .execute(executor)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// What a task goes by; `None` when the current release has no such task.
pub async fn schedule<'c>(
    executor: impl AnyExecutor<'c>,
    app: AppId,
    task: &CronTaskId,
) -> Result<Option<(CronSchedule, Zone)>, StoreError> {
    let row = sqlx::query("SELECT schedule, zone FROM cron_tasks WHERE app_id = $1 AND id = $2")
        .bind(app.to_string())
        .bind(task.as_str())
        .fetch_optional(executor)
        .await?;
    row.map(|row| Ok((parsed(&row, "schedule")?, parsed(&row, "zone")?))).transpose()
}

fn maybe_time(row: &AnyRow, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
    let millis: Option<i64> = row.try_get(column)?;
    Ok(millis.map(Timestamp::from_millis))
}

fn run(row: &AnyRow) -> Result<CronRun, StoreError> {
    Ok(CronRun {
        id: parsed(row, "id")?,
        app_id: parsed(row, "app_id")?,
        owner_id: parsed(row, "owner_id")?,
        task: parsed(row, "task_id")?,
        number: narrow(row, "number")?,
        scheduled_at: maybe_time(row, "scheduled_at")?,
        state: parsed(row, "state")?,
        version: row.try_get("version")?,
        exit_status: row.try_get("exit_status")?,
        detail: text(row, "detail")?,
        created_at: time(row, "created_at")?,
        started_at: maybe_time(row, "started_at")?,
        ended_at: maybe_time(row, "ended_at")?,
    })
}

/// Records a run that is due, waiting for its turn. The owner's account is to be locked: the next number is chosen here.
///
/// `None` when that moment of the task has a run already.
pub async fn insert_run(
    tx: &mut Transaction,
    app: AppId,
    owner: UserId,
    task: &CronTaskId,
    scheduled_at: Option<Timestamp>,
) -> Result<Option<CronRun>, StoreError> {
    let row = sqlx::query(
        "INSERT INTO cron_runs (id, app_id, owner_id, task_id, number, scheduled_at, state, created_at) \
         SELECT $1, $2, $3, $4, COALESCE(MAX(number), 0) + 1, CAST($5 AS BIGINT), $6, CAST($7 AS BIGINT) \
         FROM cron_runs WHERE app_id = $2 ON CONFLICT (app_id, task_id, scheduled_at) DO NOTHING RETURNING *",
    )
    .bind(InstanceId::new().to_string())
    .bind(app.to_string())
    .bind(owner.to_string())
    .bind(task.as_str())
    .bind(scheduled_at.map(Timestamp::millis))
    .bind(CronRunState::Waiting.as_str())
    .bind(Timestamp::now().millis())
    .fetch_optional(&mut **tx)
    .await?;
    row.as_ref().map(run).transpose()
}

/// The run of that id.
pub async fn get<'c>(executor: impl AnyExecutor<'c>, id: InstanceId) -> Result<Option<CronRun>, StoreError> {
    let row =
        sqlx::query("SELECT * FROM cron_runs WHERE id = $1").bind(id.to_string()).fetch_optional(executor).await?;
    row.as_ref().map(run).transpose()
}

/// The newest run of each task of an app.
pub async fn last_runs<'c>(executor: impl AnyExecutor<'c>, app: AppId) -> Result<Vec<CronRun>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM cron_runs WHERE app_id = $1 AND number IN \
         (SELECT MAX(number) FROM cron_runs WHERE app_id = $1 GROUP BY task_id)",
    )
    .bind(app.to_string())
    .fetch_all(executor)
    .await?;
    rows.iter().map(run).collect()
}

/// An app's runs that have not ended, of one task or of all, oldest first.
pub async fn live<'c>(
    executor: impl AnyExecutor<'c>,
    app: AppId,
    task: Option<&CronTaskId>,
) -> Result<Vec<CronRun>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM cron_runs WHERE app_id = $1 AND ended_at IS NULL AND ($2 = '' OR task_id = $2) ORDER BY number",
    )
    .bind(app.to_string())
    .bind(task.map_or("", CronTaskId::as_str))
    .fetch_all(executor)
    .await?;
    rows.iter().map(run).collect()
}

/// The runs of all apps that may have something in the engine.
pub async fn under_way<'c>(executor: impl AnyExecutor<'c>) -> Result<Vec<CronRun>, StoreError> {
    let rows = sqlx::query("SELECT * FROM cron_runs WHERE state IN ('starting', 'running') ORDER BY created_at, id")
        .fetch_all(executor)
        .await?;
    rows.iter().map(run).collect()
}

/// The runs that have not ended of apps that are somebody else's by now.
pub async fn of_former_owners<'c>(executor: impl AnyExecutor<'c>) -> Result<Vec<CronRun>, StoreError> {
    let rows = sqlx::query(
        "SELECT cron_runs.* FROM cron_runs JOIN apps ON apps.id = cron_runs.app_id \
         WHERE cron_runs.state IN ('waiting', 'starting', 'running') AND apps.owner_id <> cron_runs.owner_id",
    )
    .fetch_all(executor)
    .await?;
    rows.iter().map(run).collect()
}

/// The accounts that have runs which wait.
pub async fn who_waits<'c>(executor: impl AnyExecutor<'c>) -> Result<Vec<UserId>, StoreError> {
    let rows =
        sqlx::query("SELECT DISTINCT owner_id FROM cron_runs WHERE state = 'waiting'").fetch_all(executor).await?;
    rows.iter().map(|row| parsed(row, "owner_id")).collect()
}

/// The runs of an account that wait, in the order of their turns.
pub async fn waiting<'c>(executor: impl AnyExecutor<'c>, owner: UserId) -> Result<Vec<CronRun>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM cron_runs WHERE state = 'waiting' AND owner_id = $1 ORDER BY created_at, app_id, number",
    )
    .bind(owner.to_string())
    .fetch_all(executor)
    .await?;
    rows.iter().map(run).collect()
}

/// Takes a run that waits, to start it on the release of that version; says whether nobody else did.
pub async fn claim<'c>(executor: impl AnyExecutor<'c>, id: InstanceId, version: i64) -> Result<bool, StoreError> {
    let done = sqlx::query("UPDATE cron_runs SET state = 'starting', version = $2 WHERE id = $1 AND state = 'waiting'")
        .bind(id.to_string())
        .bind(version)
        .execute(executor)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Lets a run wait again of which nothing is in the engine.
pub async fn give_back<'c>(executor: impl AnyExecutor<'c>, id: InstanceId) -> Result<(), StoreError> {
    sqlx::query("UPDATE cron_runs SET state = 'waiting', version = NULL WHERE id = $1 AND state = 'starting'")
        .bind(id.to_string())
        .execute(executor)
        .await?;
    Ok(())
}

/// Notes that a run's container was started.
pub async fn started<'c>(executor: impl AnyExecutor<'c>, id: InstanceId) -> Result<(), StoreError> {
    sqlx::query("UPDATE cron_runs SET state = 'running', started_at = $2 WHERE id = $1 AND state = 'starting'")
        .bind(id.to_string())
        .bind(Timestamp::now().millis())
        .execute(executor)
        .await?;
    Ok(())
}

/// How a run ends.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// One of the states of runs that have ended.
    pub state: CronRunState,
    /// The command's own status.
    pub exit_status: Option<i64>,
    /// Why, where the status does not say it.
    pub detail: String,
}

/// Records how a run ended, and forgets runs that are too old; says whether it had not ended before.
pub async fn end(tx: &mut Transaction, it: &CronRun, end: &RunEnd) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE cron_runs SET state = $2, exit_status = $3, detail = $4, ended_at = $5 WHERE id = $1 AND ended_at IS NULL",
    )
    .bind(it.id.to_string())
    .bind(end.state.as_str())
    .bind(end.exit_status)
    .bind(&end.detail)
    .bind(Timestamp::now().millis())
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "DELETE FROM cron_runs WHERE app_id = $1 AND task_id = $2 AND ended_at IS NOT NULL AND number <= \
         (SELECT number FROM cron_runs WHERE app_id = $1 AND task_id = $2 AND ended_at IS NOT NULL \
         ORDER BY number DESC LIMIT 1 OFFSET $3)",
    )
    .bind(it.app_id.to_string())
    .bind(it.task.as_str())
    .bind(RUNS_KEPT)
    .execute(&mut **tx)
    .await?;
    delete_of_gone_tasks(&mut **tx, it.app_id).await?;
    Ok(done.rows_affected() > 0)
}

async fn delete_of_gone_tasks<'c>(executor: impl AnyExecutor<'c>, app: AppId) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM cron_runs WHERE app_id = $1 AND ended_at IS NOT NULL \
         AND task_id NOT IN (SELECT id FROM cron_tasks WHERE app_id = $1)",
    )
    .bind(app.to_string())
    .execute(executor)
    .await?;
    Ok(())
}

/// Has a run say that it is starting, as after a crash before it could be noted that its container was started.
#[cfg(test)]
pub async fn unstart<'c>(executor: impl AnyExecutor<'c>, id: InstanceId) -> Result<(), StoreError> {
    sqlx::query("UPDATE cron_runs SET state = 'starting', started_at = NULL WHERE id = $1")
        .bind(id.to_string())
        .execute(executor)
        .await?;
    Ok(())
}
