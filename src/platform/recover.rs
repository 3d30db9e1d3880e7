//! Crash safety: what an earlier life of the server, or a task that died, left in the middle.

use std::time::Duration;

use tokio::time::sleep;

use super::operations::HEARTBEAT;
use super::{Error, Platform};
use crate::model::{App, Operation, OperationStatus, ReleaseStatus, Step};
use crate::store::{StoreError, apps, build_records, builds, configs, operations, process_groups, releases};

/// An operation without a sign of life for so long has lost its task.
const STALE: Duration = HEARTBEAT.saturating_mul(6);
/// Between two looks.
const PERIOD: Duration = Duration::from_secs(5);
/// Records of ended operations are kept for so long.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
/// What the record of an interrupted operation says.
const INTERRUPTED: &str = "interrupted by a stop of the server; nothing was changed";

impl Platform {
    /// At start: routes to what runs, then finishes or undoes every operation of the earlier life.
    ///
    /// # Errors
    /// When the engine or the database is away; to be called again.
    pub async fn recover(&self) -> Result<(), Error> {
        // First of all, so that they get what was said while the server was away.
        self.start_log_drains().await?;
        self.0.rollouts.resume().await?;
        self.publish_all_routing().await?;
        self.refresh_certificates().await?;
        let live = operations::live(self.0.store.pool()).await?;
        if !live.is_empty() {
            self.0.builder.remove_base_names().await?;
        }
        for operation in live {
            tracing::info!(operation.id = %operation.id, app.name = operation.app_name, operation.step = %operation.step, "recovering an operation");
            self.recover_operation(&operation).await?;
        }
        self.finish_all_destroying().await?;
        self.0.rollouts.sweep().await?;
        Ok(())
    }

    /// Looks after operations that lost their task and apps whose destruction got stuck, until the server stops.
    pub async fn watch(self) {
        loop {
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = sleep(PERIOD) => {}
            }
            if let Err(error) = self.look().await {
                tracing::warn!(error = ?error, "cannot look after stale operations");
            }
        }
    }

    async fn look(&self) -> Result<(), Error> {
        // The host's own command line changes accounts, too, and cannot tell this process.
        self.refresh_certificates().await?;
        for operation in operations::live(self.0.store.pool()).await? {
            let owned = &self.0.owned;
            let is_lost = operation.heartbeat_at.elapsed() > STALE || owned.left(&operation.id).is_some();
            if is_lost && !owned.contains(&operation.id) {
                self.recover_operation(&operation).await?;
            }
        }
        self.finish_all_destroying().await?;
        operations::delete_ended(self.0.store.pool(), KEPT).await?;
        let mut tx = self.0.store.begin().await?;
        process_groups::delete_old(&mut tx).await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok(())
    }

    /// Looks at what is there, then finishes what had switched and undoes what had not. Gives the app's lock back.
    async fn recover_operation(&self, operation: &Operation) -> Result<(), Error> {
        if operation.kind.is_of_groups() {
            // Its intent is in its rows: there is nothing to undo, only to go on with.
            self.0.owned.forget_left(&operation.id);
            self.carry_out(self.live(operation.clone()));
            return Ok(());
        }
        let pool = self.0.store.pool();
        let left = self.0.owned.left(&operation.id);
        let mut outcome = (OperationStatus::Succeeded, String::new());
        match apps::by_id(pool, operation.app_id).await? {
            None => {}
            Some(app) if app.is_destroying => self.finish_destroying(&app).await?,
            Some(app) => {
                if !self.has_switched(operation).await? {
                    outcome = left.clone().unwrap_or((OperationStatus::Failed, INTERRUPTED.to_owned()));
                }
                self.settle(&app, operation).await?;
                // Of what ended in this life of the server the app's log knows already.
                if left.is_none() {
                    if outcome.0 == OperationStatus::Succeeded {
                        self.mark_recovered(&app, operation).await?;
                    }
                    let line = format!("{} by {}: {}", operation.kind, operation.actor, said(outcome.0));
                    self.0.logs.note(app.id, "deploy", &line);
                }
            }
        }
        operations::finish(pool, &operation.id, outcome.0, &outcome.1).await?;
        self.0.owned.forget_left(&operation.id);
        Ok(())
    }

    async fn settle(&self, app: &App, operation: &Operation) -> Result<(), Error> {
        let pool = self.0.store.pool();
        self.0.builder.remove_leftovers(Some(&operation.id)).await?;
        self.0.rollouts.settle(app).await?;
        builds::fail_pending(pool, app.id).await?;
        build_records::fail_pending(pool, app.id, INTERRUPTED).await?;
        Ok(configs::delete_unused(pool, app.id).await?)
    }

    /// The mark that the operation may not have come to leave: its switch was the last that it did for certain.
    async fn mark_recovered(&self, app: &App, operation: &Operation) -> Result<(), Error> {
        let Some(id) = operation.release_id else { return Ok(()) };
        if let Some(release) = releases::by_id(self.0.store.pool(), id).await? {
            let summary = format!("{} (finished after a restart of the server)", release.summary);
            self.mark_release_as(app.id, release.version, &summary);
        }
        Ok(())
    }

    /// Whether the operation got past its point of no return.
    async fn has_switched(&self, operation: &Operation) -> Result<bool, Error> {
        if operation.step == Step::Drain {
            return Ok(true);
        }
        let Some(id) = operation.release_id else { return Ok(false) };
        let release = releases::by_id(self.0.store.pool(), id).await?;
        Ok(release.is_some_and(|release| release.status == ReleaseStatus::Deployed))
    }

    async fn finish_all_destroying(&self) -> Result<(), Error> {
        for app in apps::destroying(self.0.store.pool()).await? {
            if operations::live_of(self.0.store.pool(), app.id).await?.is_none() {
                // One that cannot go yet must hold up neither the others nor a start.
                if let Err(error) = self.finish_destroying(&app).await {
                    tracing::warn!(app.name = %app.name, error = ?error, "cannot remove all of a destroyed app yet");
                }
            }
        }
        Ok(())
    }
}

fn said(status: OperationStatus) -> &'static str {
    if status == OperationStatus::Succeeded { "finished after a restart" } else { INTERRUPTED }
}
