//! What an earlier life of the server began, or the engine gave no answer about.

use super::owned::Owned;
use crate::engine::{Container, ContainerState};
use crate::model::{App, CronRun, CronRunState};
use crate::platform::{Error, Platform};
use crate::rollout::OneOffError;
use crate::store::apps;
use crate::store::cron::{self, RunEnd};

impl Platform {
    /// Looks in the engine for what became of runs that no task of this process has: those of an earlier life, and those that
    /// the engine gave no answer about. They are followed to their end, or started again where nothing of them is there.
    pub(super) async fn adopt_runs(&self) -> Result<(), Error> {
        for run in cron::under_way(self.0.store.pool()).await? {
            let Some(owned) = self.0.cron.own(run.id) else { continue };
            if let Err(error) = self.adopt(run, owned).await {
                tracing::warn!(error = ?error, "cannot look for a scheduled command yet");
            }
        }
        Ok(())
    }

    async fn adopt(&self, run: CronRun, owned: Owned) -> Result<(), Error> {
        let pool = self.0.store.pool();
        let app = apps::by_id(pool, run.app_id).await?.filter(|app| !app.is_destroying);
        let Some(app) = app else { return Ok(()) };
        let found = self.0.rollouts.find_cron(run.id).await?;
        // Looked at again: it may have ended while the engine was asked.
        let Some(run) = cron::get(pool, run.id).await?.filter(|run| run.state.is_live()) else { return Ok(()) };
        match found {
            Some(container) if was_started(&container) => self.take_up(&app, run, container, owned).await,
            Some(container) => {
                self.0.rollouts.remove_cron(run.id, &container.id).await;
                Ok(cron::give_back(pool, run.id).await?)
            }
            None if run.state == CronRunState::Running => {
                self.end_run(&run, RunEnd::failed(None, "somebody removed its container".to_owned())).await
            }
            None => Ok(cron::give_back(pool, run.id).await?),
        }
    }

    async fn take_up(&self, app: &App, run: CronRun, container: Container, owned: Owned) -> Result<(), Error> {
        let place = match self.0.rollouts.enter_cron(app, &run, run.version.unwrap_or_default()).await {
            Ok(place) => place,
            Err(OneOffError::Store(error)) => return Err(error.into()),
            // Too many others, or the app goes: the next look will see.
            Err(_) => return Ok(()),
        };
        tracing::info!(run.id = %run.id, app.name = %app.name, "following a scheduled command again");
        let platform = self.clone();
        self.0.tracker.spawn(async move { platform.follow_run(run, place, &container.id, owned).await });
        Ok(())
    }
}

/// Whether its command has begun at some time.
fn was_started(container: &Container) -> bool {
    matches!(container.state, ContainerState::Running | ContainerState::Exited(_))
}
