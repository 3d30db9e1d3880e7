//! Process types of apps that are stopped on request, and started again.

use std::time::Duration;

use futures_util::future::join_all;

use super::{RolloutError, Rollouts};
use crate::model::{App, Instance, InstanceState, ProcessType};
use crate::store::instances;

impl Rollouts {
    /// Ends the containers of an app's halted instances of one type: no more requests, drain, SIGTERM, grace, SIGKILL.
    /// Their rows stay. Idempotent.
    ///
    /// # Errors
    /// The first thing that could not be done.
    pub async fn halt(&self, app: &App, process: &ProcessType) -> Result<(), RolloutError> {
        let halted = self.halted(app, process).await?;
        for instance in &halted {
            self.note_gone(instance.id);
        }
        self.publish(app).await?;
        for ended in self.empty_and_stop(&halted, &|_| {}).await {
            ended?;
        }
        Ok(())
    }

    /// Brings an app's halted instances of one type back; those that do not come up are the supervisor's. Yields how many
    /// there were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unhalt(&self, app: &App, process: &ProcessType) -> Result<usize, RolloutError> {
        let halted = self.halted(app, process).await?;
        join_all(halted.iter().map(|instance| self.unpark(instance))).await;
        if !halted.is_empty() {
            self.publish(app).await?;
        }
        Ok(halted.len())
    }

    /// How long a new instance may take until it is healthy.
    pub fn boot_timeout(&self) -> Duration {
        self.0.settings.boot_timeout
    }

    async fn halted(&self, app: &App, process: &ProcessType) -> Result<Vec<Instance>, RolloutError> {
        let mut found = instances::of_app(self.0.store.pool(), app.id).await?;
        found.retain(|instance| instance.state == InstanceState::Halted && instance.process == *process);
        Ok(found)
    }
}
