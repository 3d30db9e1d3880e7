//! Liveness: checks that go on for as long as an instance lives.

use std::collections::{HashMap, HashSet};

use futures_util::future::select_all;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use super::health::Contract;
use super::probe::Subject;
use super::{RolloutError, Rollouts};
use crate::engine::Container;
use crate::model::{Check, Instance, InstanceId, InstanceState};
use crate::store::{apps, instances};

/// How long requests in flight at a sick instance may take: it may never answer them.
const SICK_DRAIN: std::time::Duration = std::time::Duration::from_secs(5);

/// What came of watching one container.
pub(super) enum Verdict {
    /// It has no liveness checks.
    Nothing,
    /// It failed one too often in a row; what was asked and what came, as the end of a sentence.
    Sick(String),
    /// It could not be found out what its checks are.
    Unknown(RolloutError),
}

/// The containers that are watched. Dropped, nothing of it goes on.
#[derive(Default)]
pub(super) struct Liveness {
    /// By instance: its container, and what watches it, or has found nothing to watch.
    watched: HashMap<InstanceId, (String, AbortHandle)>,
    watchers: JoinSet<(Instance, String, Verdict)>,
}

impl Liveness {
    /// Watches this container of a live instance, unless it does so already.
    pub fn watch(&mut self, rollouts: &Rollouts, instance: &Instance, container: &Container) {
        match self.watched.get(&instance.id) {
            Some((watched, _)) if *watched == container.id => return,
            Some((_, of_earlier)) => of_earlier.abort(),
            None => {}
        }
        let (rollouts, it, found) = (rollouts.clone(), instance.clone(), container.clone());
        let watcher = self.watchers.spawn(async move {
            let verdict = rollouts.watch_health(&it, &found).await;
            (it, found.id, verdict)
        });
        self.watched.insert(instance.id, (container.id.clone(), watcher));
    }

    /// Watches the instance anew at the next [`Liveness::watch`].
    pub fn forget(&mut self, instance: InstanceId) {
        if let Some((_, watcher)) = self.watched.remove(&instance) {
            watcher.abort();
        }
    }

    /// Ends what watches instances that are none of these.
    pub fn retain(&mut self, live: &HashSet<InstanceId>) {
        self.watched.retain(|id, (_, watcher)| {
            let stays = live.contains(id);
            if !stays {
                watcher.abort();
            }
            stays
        });
    }

    /// The next verdict on a container that is still the instance's; pending while there is nothing to wait for.
    pub async fn next(&mut self) -> (Instance, Verdict) {
        loop {
            match self.watchers.join_next().await {
                None => std::future::pending().await,
                // Aborted, or panicked: the log has it, and it would panic again.
                Some(Err(_)) => {}
                Some(Ok((instance, container, verdict))) => {
                    if self.watched.get(&instance.id).is_none_or(|(watched, _)| *watched != container) {
                        continue;
                    }
                    if matches!(verdict, Verdict::Unknown(_)) {
                        self.watched.remove(&instance.id);
                    }
                    return (instance, verdict);
                }
            }
        }
    }
}

impl Rollouts {
    /// Asks until a check has failed as often in a row as it may. Cancel-safe: it changes nothing.
    async fn watch_health(&self, instance: &Instance, container: &Container) -> Verdict {
        let target = match self.target_of(instance).await {
            Ok(Some(target)) => target,
            Ok(None) => return Verdict::Nothing,
            Err(error) => return Verdict::Unknown(error.into()),
        };
        let contract = match Contract::of(&self.0.settings, &target, &instance.process) {
            Ok(contract) => contract,
            Err(error) => return Verdict::Unknown(error.into()),
        };
        if contract.liveness.is_empty() {
            return Verdict::Nothing;
        }
        // From the list of containers, which may be older than the container's address.
        let subject = match self.0.engine.container(&container.id).await {
            Ok(found) => Subject::new(&self.0.settings, &target, &found),
            Err(error) => return Verdict::Unknown(error.into()),
        };
        let checks = contract.liveness.iter().map(|check| Box::pin(self.until_sick(instance, &subject, check)));
        Verdict::Sick(select_all(checks).await.0)
    }

    async fn until_sick(&self, instance: &Instance, subject: &Subject, check: &Check) -> String {
        sleep(check.initial_delay).await;
        let mut in_a_row = 0;
        loop {
            match subject.ask(&*self.0.engine, check).await {
                Ok(()) => in_a_row = 0,
                Err(last) => {
                    in_a_row += 1;
                    let what = format!("{check}: {last} ({in_a_row} times in a row)");
                    if in_a_row == check.attempts && check.only_warns {
                        let text = format!("{} fails its liveness check {what}; it only warns", instance.label());
                        self.0.logs.note(instance.app_id, "supervisor", &text);
                    } else if in_a_row >= check.attempts && !check.only_warns {
                        return what;
                    }
                }
            }
            sleep(check.interval).await;
        }
    }

    /// Takes a sick instance out of routing at once, lets its requests end, and stops it. The supervisor then starts it
    /// again as any that ended. An instance that is no longer live is left alone.
    pub(super) async fn end_sick(&self, instance: &Instance) -> Result<(), RolloutError> {
        let now = instances::get(self.0.store.pool(), instance.id).await?;
        if now.is_none_or(|now| now.state != InstanceState::Live) {
            return Ok(());
        }
        self.note_gone(instance.id);
        if let Some(app) = apps::by_id(self.0.store.pool(), instance.app_id).await?
            && let Some(upstream) = self.0.table.retire(&app.name, instance.id)
        {
            self.empty(instance, &upstream, SICK_DRAIN.min(self.0.settings.drain_timeout)).await;
        }
        for container in self.0.engine.containers(&self.instance_labels(instance.id)).await? {
            self.0.engine.stop_container(&container.id, self.0.settings.stop_grace).await?;
        }
        Ok(())
    }
}
