//! Scheduled commands: which there are, how they went, one of them now.
//!
//! The tasks are those of the current release's build, and a run is a one-off of that release. Each run is a row before anything
//! of it is in the engine, so that a server that was killed finds out what became of it.

mod adopt;
mod owned;
mod runs;
mod schedules;
#[cfg(test)]
mod tests;

use super::{AppHandle, Error, Listing, Platform};
use crate::model::{App, CronPolicy, CronRun, CronRunState, CronTask, CronTaskId, Timestamp};
use crate::release;
use crate::store::{Page, StoreError, apps, cron, quotas};

pub use owned::CronRuns;

/// A scheduled command, and how it goes.
#[derive(Debug, Clone)]
pub struct CronTaskView {
    /// The task.
    pub task: CronTask,
    /// When it is due next; `None` while it is paused.
    pub next_at: Option<Timestamp>,
    /// The newest of its runs.
    pub last_run: Option<CronRun>,
}

impl Platform {
    /// The scheduled commands of an app's current release, in the order of its `app.json`.
    pub async fn cron_tasks(&self, handle: &AppHandle, page: Page) -> Result<Listing<CronTaskView>, Error> {
        let (store, app) = (&self.0.store, handle.app().id);
        let tasks = release::current(store, app).await?.build.map(|build| build.cron).unwrap_or_default();
        let total = i64::try_from(tasks.len()).unwrap_or(i64::MAX);
        if tasks.is_empty() {
            return Ok(Listing { total, entries: Vec::new() });
        }
        let next = cron::next_times(store.pool(), app).await?;
        let mut last = cron::last_runs(store.pool(), app).await?;
        let number = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
        let window = tasks.into_iter().skip(number(page.offset)).take(number(page.limit));
        let entries = window.map(|task| {
            let next_at = next.get(&task.id).copied().flatten();
            let index = last.iter().position(|run| run.task == task.id);
            CronTaskView { next_at, last_run: index.map(|index| last.swap_remove(index)), task }
        });
        Ok(Listing { total, entries: entries.collect() })
    }

    /// Runs a scheduled command now, beside its schedule. It does not wait for the run's end, nor for its turn if the account
    /// has as many runs as it may have.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the current release has no such task, [`Error::Refused`] while it is paused,
    /// [`Error::Conflict`] when a run of it waits already, or goes on and the task forbids another.
    pub async fn run_cron_task(&self, handle: &AppHandle, id: &CronTaskId) -> Result<CronRun, Error> {
        let (platform, handle, id) = (self.clone(), handle.clone(), id.clone());
        self.owned(async move {
            let store = &platform.0.store;
            let app = platform.present_app(handle.app()).await?;
            let task = platform.cron_task(&app, &id).await?;
            if task.is_paused {
                return Err(Error::Refused(format!(
                    "'{id}' is paused; set \"maintenance\": false in app.json, commit and push, or use 'deis run'"
                )));
            }
            let mut tx = store.begin().await?;
            quotas::lock(&mut tx, app.owner_id).await?;
            let live = cron::live(&mut *tx, app.id, Some(&id)).await?;
            if let Some(why) = in_the_way(task.policy, &live) {
                return Err(Error::Conflict(format!("'{id}' cannot be run now: {why}")));
            }
            let run = cron::insert_run(&mut tx, app.id, app.owner_id, &id, None).await?;
            let run = run.ok_or_else(|| Error::Internal(anyhow::anyhow!("a run without a time had one")))?;
            tx.commit().await.map_err(StoreError::from)?;
            let text = format!("{} runs '{id}' now: {}", handle.user().username, run.label());
            platform.0.logs.note(app.id, "cron", &text);
            platform.start_waiting(app.owner_id).await?;
            Ok(cron::get(store.pool(), run.id).await?.unwrap_or(run))
        })
        .await
    }

    async fn present_app(&self, app: &App) -> Result<App, Error> {
        let found = apps::by_id(self.0.store.pool(), app.id).await?.filter(|app| !app.is_destroying);
        found.ok_or_else(|| Error::NotFound(format!("app '{}'", app.name)))
    }

    async fn cron_task(&self, app: &App, id: &CronTaskId) -> Result<CronTask, Error> {
        let build = release::current(&self.0.store, app.id).await?.build;
        let task = build.and_then(|build| build.cron.into_iter().find(|task| task.id == *id));
        task.ok_or_else(|| Error::NotFound(format!("task '{id}'")))
    }
}

/// Why a task has no other run now. `live` are its runs that have not ended.
fn in_the_way(policy: CronPolicy, live: &[CronRun]) -> Option<String> {
    if let Some(run) = live.iter().find(|run| run.state == CronRunState::Waiting) {
        return Some(format!("{} still waits for its turn", run.label()));
    }
    let run = live.first().filter(|_| policy == CronPolicy::Forbid)?;
    Some(format!("{} still runs, and the task's concurrency_policy is forbid", run.label()))
}
