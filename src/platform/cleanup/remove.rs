//! Carrying a plan out: under the app's lock what belongs to an app, and never what the rules no longer say.

use std::collections::BTreeSet;

use tokio::time::{Instant, sleep};

use super::rules::{self, SLUG_GRACE, TEMPORARY_GRACE};
use super::{Cleanup, Item, Kind, Outcome, Plan};
use crate::engine::{EngineError, label, labels, remove_volumes};
use crate::model::{App, AppId, OperationId, OperationKind, OperationStatus};
use crate::platform::Error;
use crate::platform::operations::{HEARTBEAT, LOOK, PATIENCE};
use crate::store::{StoreError, apps, operations};

/// Who cleans up, where nobody asked for it.
const ACTOR: &str = "slipway";

impl Cleanup {
    /// Removes what a plan says, as far as that still holds; tells what became of each thing.
    ///
    /// An app that is busy is left for the next time. The things before a failure stay removed.
    ///
    /// # Errors
    /// When the database fails, or the engine does not say what there is.
    pub async fn carry_out(&self, plan: &Plan, report: &mut (dyn FnMut(&Item, &Outcome) + Send)) -> Result<(), Error> {
        let of_apps: BTreeSet<AppId> = plan.goes.iter().filter_map(|item| item.app).collect();
        for app in of_apps {
            if self.stop.is_cancelled() {
                return Ok(());
            }
            let items: Vec<&Item> = plan.goes.iter().filter(|item| item.app == Some(app)).collect();
            self.carry_out_for(app, &items, plan, report).await?;
        }
        for item in plan.goes.iter().filter(|item| item.app.is_none()) {
            if self.stop.is_cancelled() {
                return Ok(());
            }
            report(item, &self.remove(item).await);
        }
        Ok(())
    }

    async fn carry_out_for(
        &self,
        app: AppId,
        items: &[&Item],
        plan: &Plan,
        report: &mut (dyn FnMut(&Item, &Outcome) + Send),
    ) -> Result<(), Error> {
        let Some(found) = apps::by_id(self.store.pool(), app).await?.filter(|app| !app.is_destroying) else {
            let gone = Outcome::Kept("its app is being destroyed".to_owned());
            items.iter().for_each(|item| report(item, &gone));
            return Ok(());
        };
        let operation = match self.lock(&found, ACTOR).await {
            Err(StoreError::Duplicate) => {
                let busy = Outcome::Kept(format!("{} is busy", found.name));
                items.iter().for_each(|item| report(item, &busy));
                return Ok(());
            }
            locked => locked?,
        };
        let work = async {
            let now = rules::plan(&self.facts(&plan.caches, Some(&operation)).await?);
            for item in items {
                if !now.goes.iter().any(|other| (other.kind, &other.name) == (item.kind, &item.name)) {
                    report(item, &Outcome::Kept("it is needed by now".to_owned()));
                    continue;
                }
                // Whoever recovers an app after a crash takes locks of other processes away.
                let holder = operations::live_of(self.store.pool(), app).await?;
                if holder.is_none_or(|holder| holder.id != operation) {
                    return Err(Error::Unavailable(format!("clean-up of {} was called off", found.name)));
                }
                report(item, &self.remove(item).await);
            }
            Ok(())
        };
        self.holding(&operation, work).await
    }

    /// Empties an app's build cache, on behalf of `actor`. Waits for an operation that is at work.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the wait is too long or the engine away; [`Error::NotFound`] when the app goes meanwhile.
    pub async fn purge_build_cache(&self, app: &App, actor: &str) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        let operation = loop {
            let found = apps::by_id(self.store.pool(), app.id).await?.filter(|app| !app.is_destroying);
            let found = found.ok_or_else(|| Error::NotFound(format!("app '{}'", app.name)))?;
            match self.lock(&found, actor).await {
                Err(StoreError::Duplicate) if Instant::now() < deadline && !self.stop.is_cancelled() => {
                    sleep(LOOK).await
                }
                Err(StoreError::Duplicate) => {
                    return Err(Error::Unavailable(format!("app '{}' is busy; try again later", app.name)));
                }
                locked => break locked?,
            }
        };
        let id = app.id.to_string();
        let caches = labels([(label::SERVER, &self.settings.server_id), (label::APP, &id)]);
        let work = async { Ok(remove_volumes(&*self.engine, &caches).await?) };
        self.holding(&operation, work).await
    }

    async fn lock(&self, app: &App, actor: &str) -> Result<OperationId, StoreError> {
        Ok(operations::begin(self.store.pool(), OperationKind::CleanUp, app, actor).await?.id)
    }

    /// Does the work with signs of life, then gives the lock back.
    async fn holding<T>(
        &self,
        operation: &OperationId,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let _owned = self.owned.own(operation.clone());
        tokio::pin!(work);
        let outcome = loop {
            tokio::select! {
                outcome = &mut work => break outcome,
                () = sleep(HEARTBEAT) => {
                    if let Err(error) = operations::heartbeat(self.store.pool(), operation).await {
                        tracing::warn!(operation.id = %operation, %error, "cannot show a sign of life");
                    }
                }
            }
        };
        let (status, text) = match &outcome {
            Ok(_) => (OperationStatus::Succeeded, String::new()),
            Err(error) => (OperationStatus::Failed, error.to_string()),
        };
        operations::finish(self.store.pool(), operation, status, &text).await?;
        outcome
    }

    async fn remove(&self, item: &Item) -> Outcome {
        let removed = match item.kind {
            Kind::Image => self.engine.remove_image(&item.name).await,
            Kind::Untagged => match self.engine.image(&item.name).await {
                Ok(image) if !image.tags.is_empty() => return Outcome::Kept("it has a name again".to_owned()),
                Ok(_) => self.engine.remove_image(&item.name).await,
                Err(EngineError::NotFound { .. }) => Ok(()),
                Err(error) => Err(error),
            },
            Kind::Cache => self.engine.remove_volume(&item.name).await,
            Kind::Container => self.engine.remove_container(&item.name).await,
            Kind::Network => self.engine.remove_network(&item.name).await,
            Kind::Slug | Kind::Runtime => return self.remove_file(item, SLUG_GRACE).await,
            Kind::Temporary => return self.remove_file(item, TEMPORARY_GRACE).await,
        };
        match removed {
            Ok(()) => Outcome::Removed,
            Err(EngineError::InUse { message, .. }) => Outcome::Kept(message),
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }

    async fn remove_file(&self, item: &Item, idle: std::time::Duration) -> Outcome {
        let (slugs, name) = (self.slugs.clone(), item.name.clone());
        match tokio::task::spawn_blocking(move || slugs.remove_idle(&name, idle)).await {
            Ok(Ok(true)) => Outcome::Removed,
            Ok(Ok(false)) => Outcome::Kept("it is needed by now".to_owned()),
            Ok(Err(error)) => Outcome::Failed(error.to_string()),
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }
}
