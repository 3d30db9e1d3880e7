//! The switch: one transaction makes the new instances the app, one publication sends it the requests.

use std::net::SocketAddr;
use std::time::Duration;

use super::plan::Plan;
use super::{RolloutError, Rollouts, Target};
use crate::model::{App, Formation, Instance, InstanceId, InstanceState, Step, Timestamp};
use crate::route::Listed;
use crate::store::{Journal, Page, StoreError, apps, cron, domains, formations, instances, process_groups, releases};

impl Rollouts {
    /// Records that all is healthy, then switches. A step that cannot be recorded is a failure before the switch.
    pub(super) async fn step_and_switch(
        &self,
        journal: &mut Journal,
        target: &Target,
        formation: &Formation,
        plan: &Plan,
    ) -> Result<(), RolloutError> {
        journal.step(Step::Switch).await?;
        self.switch(journal, target, formation, plan).await?;
        let mut admitted = self.0.admitted.lock().expect("no panic while held");
        admitted.retain(|id| !plan.start.iter().any(|instance| instance.id == *id));
        Ok(())
    }

    /// The point of no return: release, formation, schedule, new and old instances and the operation's step, all or nothing.
    async fn switch(
        &self,
        journal: &mut Journal,
        target: &Target,
        formation: &Formation,
        plan: &Plan,
    ) -> Result<(), RolloutError> {
        let mut tx = self.0.store.begin().await?;
        releases::mark_deployed(&mut *tx, target.release.id).await?;
        cron::replace(&mut tx, target.app.id, &target.build.cron, Timestamp::now()).await?;
        formations::replace(&mut tx, target.app.id, formation).await?;
        for instance in &plan.start {
            instances::set_state(&mut *tx, instance.id, InstanceState::Live).await?;
            process_groups::set_type_running(&mut *tx, target.app.id, &instance.process).await?;
        }
        for instance in &plan.stop {
            instances::set_state(&mut *tx, instance.id, InstanceState::Draining).await?;
        }
        apps::touch(&mut *tx, target.app.id).await?;
        journal.step_in(&mut tx, Step::Drain).await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok(())
    }

    /// Remembers where an instance answers; `None` for types that take no requests.
    pub(super) fn note_ready(&self, instance: InstanceId, address: Option<SocketAddr>) {
        if let Some(address) = address {
            self.0.ready.lock().expect("no panic while held").insert(instance, address);
        }
    }

    /// Forgets that an instance answers.
    pub(super) fn note_gone(&self, instance: InstanceId) {
        self.0.ready.lock().expect("no panic while held").remove(&instance);
    }

    /// Sends the app's requests to its live instances that were seen to answer, to those of a rolling rollout that were
    /// admitted, and to nothing else.
    pub(super) async fn publish(&self, app: &App) -> Result<(), StoreError> {
        let _publishing = self.0.publishing.lock().await;
        let wanted = instances::of_app(self.0.store.pool(), app.id).await?;
        let managed = self.managed_upstreams(app.id).await?;
        let upstreams: Vec<Listed> = {
            let ready = self.0.ready.lock().expect("no panic while held");
            let admitted = self.0.admitted.lock().expect("no panic while held");
            let serves = |i: &&Instance| match i.state {
                InstanceState::Live => true,
                InstanceState::Planned => admitted.contains(&i.id),
                InstanceState::Parked | InstanceState::Halted | InstanceState::Draining => false,
            };
            wanted
                .iter()
                .filter(|i| i.process.is_routed())
                .filter(serves)
                .filter_map(|i| {
                    let address = *ready.get(&i.id)?;
                    Some(Listed { instance: i.id, address, label: i.label() })
                })
                .chain(managed)
                .collect()
        };
        let left_out = self.0.table.publish(&app.name, upstreams);
        let mut leaving = self.0.leaving.lock().expect("no panic while held");
        leaving.extend(left_out.into_iter().map(|upstream| (upstream.instance(), upstream)));
        Ok(())
    }

    /// Sends requests for the app's domains to it, and for no others. Those that it lost are unknown hosts at once.
    ///
    /// # Errors
    /// When the database fails; the router then goes on as before.
    pub async fn publish_domains(&self, app: &App) -> Result<(), StoreError> {
        let _publishing = self.0.publishing.lock().await;
        let domains = domains::list(self.0.store.pool(), app.id, Page::ALL).await?;
        let names: Vec<_> = domains.into_iter().map(|domain| domain.name).collect();
        self.0.table.set_domains(&app.name, &names);
        Ok(())
    }

    /// [`Rollouts::publish`], for when there is no way back: tries until the database answers or the server stops.
    pub(super) async fn publish_until_done(&self, app: &App) {
        while let Err(error) = self.publish(app).await {
            tracing::error!(app.name = %app.name, error = ?error, "cannot publish upstreams, trying again");
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
        }
    }
}
