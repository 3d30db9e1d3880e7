//! Runs of scheduled commands: one-offs that outlive the server, since the next life of it finds them by their label.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{OneOffError, Place};
use crate::engine::{Container, EngineError, ExitStatus, label};
use crate::model::{App, CronRun, InstanceId};
use crate::rollout::{Rollouts, Target};

/// Between two questions to an engine that does not answer.
const RETRY: Duration = Duration::from_secs(1);

/// How following a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CronEnd {
    /// Its command ended.
    Exited(ExitStatus),
    /// It ran for longer than it may, and was stopped.
    TimedOut {
        /// How long it was given.
        limit: Duration,
    },
    /// It was called off, and stopped.
    Cancelled,
    /// Its app goes; it was stopped.
    AppGone,
    /// Somebody else removed its container.
    Lost,
    /// It goes on, and nobody follows it any more.
    Left,
}

impl Rollouts {
    /// Takes a place among the app's one-offs for a run.
    ///
    /// # Errors
    /// [`OneOffError::TooMany`], and [`OneOffError::AppGone`] for an app that is being destroyed.
    pub async fn enter_cron(&self, app: &App, run: &CronRun, version: i64) -> Result<Place, OneOffError> {
        self.admit_one_off(app, self.0.one_offs.enter_cron(run, version)).await
    }

    /// Starts a run's container; returns its engine id. `env` goes over all other variables.
    ///
    /// # Errors
    /// Why there is none. After one that [is an outage](OneOffError::is_outage) it may be there all the same:
    /// [`Rollouts::find_cron`] says so once the engine answers.
    pub async fn start_cron(
        &self,
        place: &Place,
        target: &Target,
        command: &str,
        env: &BTreeMap<String, String>,
    ) -> Result<String, OneOffError> {
        let container = self.create_one_off(place, target, command, env).await?;
        match self.0.engine.start_container(&container).await {
            Ok(()) => Ok(container),
            Err(error) => {
                // What did not get an answer may be done all the same.
                if !error.is_outage() {
                    self.remove_one_off(&container).await;
                }
                Err(error.into())
            }
        }
    }

    /// The container of a run, in whatever state.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn find_cron(&self, id: InstanceId) -> Result<Option<Container>, EngineError> {
        let id = id.to_string();
        let labels =
            crate::engine::labels([(label::SERVER, self.0.settings.server_id.as_str()), (label::ONE_OFF, &id)]);
        Ok(self.0.engine.containers(&labels).await?.pop())
    }

    /// Follows a run whose container was started `ago`, from wherever its output was followed to before, until it has ended or
    /// `leave` fires. An engine that is away is asked again. The container stays until [`Rollouts::remove_cron`].
    pub async fn follow_cron(
        &self,
        place: &Place,
        container: &str,
        ago: Duration,
        cancel: &CancellationToken,
        leave: &CancellationToken,
    ) -> CronEnd {
        let one_off = place.one_off();
        place.started();
        self.0.collector.follow(place.app, &one_off.process, one_off.number, one_off.id, container);
        let limit = self.0.settings.run_timeout;
        let deadline = Instant::now() + limit.saturating_sub(ago);
        let ended = tokio::select! {
            biased;
            ended = self.end_of(container) => ended,
            () = place.end.cancelled() => CronEnd::AppGone,
            () = cancel.cancelled() => CronEnd::Cancelled,
            () = leave.cancelled() => CronEnd::Left,
            () = sleep_until(deadline) => CronEnd::TimedOut { limit },
        };
        if matches!(ended, CronEnd::AppGone | CronEnd::Cancelled | CronEnd::TimedOut { .. })
            && let Err(error) = self.0.engine.stop_container(container, self.0.settings.stop_grace).await
        {
            tracing::warn!(container.id = container, %error, "cannot stop a scheduled command; removing it");
        }
        ended
    }

    async fn end_of(&self, container: &str) -> CronEnd {
        loop {
            match self.0.engine.wait_container(container).await {
                Ok(status) => return CronEnd::Exited(status),
                Err(EngineError::NotFound { .. }) => return CronEnd::Lost,
                Err(error) => {
                    tracing::debug!(container.id = container, %error, "cannot wait for a scheduled command yet")
                }
            }
            sleep(RETRY).await;
        }
    }

    /// Removes the container of a run whose end is recorded, once what it said is in the app's log.
    pub async fn remove_cron(&self, id: InstanceId, container: &str) {
        self.0.collector.settled(id).await;
        self.remove_one_off(container).await;
    }

    /// Why a command ended with this status, where the status does not say it.
    pub fn reason_of(&self, status: ExitStatus) -> String {
        if status.out_of_memory { self.out_of_memory() } else { String::new() }
    }
}
