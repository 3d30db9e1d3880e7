//! From *stopping* to *stopped*, and from *terminating* to *terminated*.

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::super::Rollouts;
use super::{END_LIMIT, RETRY, exit_message};
use crate::engine::{EngineError, ExitStatus};
use crate::model::{GroupInstance, GroupInstanceState};
use crate::route::Upstream;
use crate::store::group_instances::{self, Move};
use crate::store::{StoreError, apps};

/// What is said of an instance whose container somebody else removed.
pub(super) const REMOVED: &str = "The container was removed behind Slipway's back; the next start makes another one";

impl Rollouts {
    /// Stops an instance: SIGTERM, the grace, SIGKILL. Its container stays.
    pub(super) async fn stop_managed(&self, instance: &GroupInstance) -> Result<(), StoreError> {
        self.leave_routing(instance).await?;
        let deadline = Instant::now() + self.0.settings.stop_grace + END_LIMIT;
        let stopped = loop {
            match self.try_stop(instance).await {
                Err(_) if Instant::now() < deadline => sleep(RETRY).await,
                done => break done,
            }
        };
        let next = match stopped {
            Ok(Some(status)) => Move::Ended(status.code, exit_message(status)),
            Ok(None) => Move::NotStarted(REMOVED.to_owned()),
            Err(error) => {
                let text = format!("{}.{} cannot be stopped: {error}", super::spec::PROCESS, instance.number);
                self.0.logs.note(instance.app_id, "supervisor", &text);
                // As far as anybody knows it still runs; the watch corrects that when it learns better.
                Move::Run
            }
        };
        self.advance(instance.id, GroupInstanceState::Stopping, next).await?;
        Ok(())
    }

    /// Removes an instance with its container, volumes and ports. What cannot be removed in time is left to the watch,
    /// which removes containers whose instance is gone.
    pub(super) async fn remove_managed(&self, instance: &GroupInstance) -> Result<(), StoreError> {
        self.leave_routing(instance).await?;
        let deadline = Instant::now() + self.0.settings.stop_grace + END_LIMIT;
        let removed = loop {
            match self.try_remove(instance).await {
                Err(_) if Instant::now() < deadline => sleep(RETRY).await,
                done => break done,
            }
        };
        if let Err(error) = removed {
            tracing::warn!(instance.id = %instance.id, %error, "cannot remove a terminated container yet");
        }
        let mut tx = self.0.store.begin().await?;
        group_instances::release_ports(&mut *tx, instance.id).await?;
        group_instances::advance(&mut *tx, instance.id, &[GroupInstanceState::Terminating], &Move::Gone).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn try_stop(&self, instance: &GroupInstance) -> Result<Option<ExitStatus>, EngineError> {
        let Some(container) = self.container_of(instance.id).await? else { return Ok(None) };
        self.0.engine.stop_container(&container.id, self.0.settings.stop_grace).await?;
        self.0.collector.settled(instance.id).await;
        self.exit_of(instance.id).await
    }

    async fn try_remove(&self, instance: &GroupInstance) -> Result<(), EngineError> {
        while let Some(container) = self.container_of(instance.id).await? {
            self.0.engine.stop_container(&container.id, self.0.settings.stop_grace).await?;
            self.0.collector.settled(instance.id).await;
            self.0.engine.remove_container(&container.id).await?;
        }
        Ok(())
    }

    /// Takes an instance out of the route table, before it is ended.
    pub(super) async fn leave_routing(&self, instance: &GroupInstance) -> Result<(), StoreError> {
        if let Some(upstream) = self.retire(instance).await? {
            // Requests that are under way may end; new ones do not come any more.
            let _ended = tokio::time::timeout(self.0.settings.stop_grace, upstream.drained()).await;
            upstream.cut();
        }
        Ok(())
    }

    /// Takes an instance that has ended out of the route table.
    pub(super) async fn cut_routing(&self, instance: &GroupInstance) -> Result<(), StoreError> {
        if let Some(upstream) = self.retire(instance).await? {
            upstream.cut();
        }
        Ok(())
    }

    /// What the router had of an instance; it gets no new requests from now on.
    async fn retire(&self, instance: &GroupInstance) -> Result<Option<Arc<Upstream>>, StoreError> {
        self.note_gone(instance.id);
        let app = apps::by_id(self.0.store.pool(), instance.app_id).await?;
        let listed = app.and_then(|app| self.0.table.retire(&app.name, instance.id));
        // A publication may have left it out before.
        let left = self.0.leaving.lock().expect("no panic while held").remove(&instance.id);
        Ok(listed.or(left))
    }
}
