//! Supervision: live instances that are not running are started again, with back-off.
//!
//! Two sources, one decision: the engine's events make it quick, a comparison of wanted with actual on a period makes it
//! certain. Docker's own restart policy is not used: it loses against `docker kill` and knows nothing of drains.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::liveness::{Liveness, Verdict};
use super::report::{describe, ended};
use super::{RolloutError, Rollouts};
use crate::engine::{Container, ContainerState, ExitStatus, Labels, label};
use crate::model::{AppName, Instance, InstanceId, InstanceState};
use crate::store::{StoreError, apps, instances, operations, releases};

/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// An instance that ran for so long has its failures forgotten.
const FORGIVEN_AFTER: Duration = Duration::from_secs(120);

/// What is known of an instance that failed lately.
#[derive(Debug, Clone, Copy)]
struct Failing {
    /// Failures in a row.
    failures: u32,
    /// When it may be started again; `None` once that was tried.
    next_try: Option<Instant>,
    /// The latest failure.
    since: Instant,
}

/// The supervisor's memory. Lost with the server: a new life starts every dead instance at once.
#[derive(Default)]
struct Watch {
    failing: HashMap<InstanceId, Failing>,
    /// Instances that somebody is working on.
    busy: HashSet<InstanceId>,
    /// Instances that are ended for failing their liveness checks.
    sick: HashSet<InstanceId>,
    restarts: JoinSet<InstanceId>,
    liveness: Liveness,
}

/// The wait after so many failures in a row, the first being 1 s: 1 s, 2 s, 4 s ... at most 60 s.
fn wait_after(failures: u32, first: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(LONGEST_WAIT)
}

impl Rollouts {
    /// Runs until the server stops. Running instances are not touched by the end of supervision.
    pub async fn supervise(self) {
        let mut watch = Watch::default();
        let mut next_pass = Instant::now();
        let mut events = self.0.engine.events(&self.all_instances());
        loop {
            tokio::select! {
                () = self.0.stop.cancelled() => break,
                event = events.next() => match event {
                    Some(Ok(event)) if event.action == "die" || event.action == "destroy" => next_pass = Instant::now(),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => {
                        // The engine went away; the periodic pass copes until it is back.
                        sleep(Duration::from_millis(500)).await;
                        events = self.0.engine.events(&self.all_instances());
                    }
                },
                Some(done) = watch.restarts.join_next(), if !watch.restarts.is_empty() => {
                    // A restart that panicked stays busy: it would panic again. The log has it.
                    if let Ok(instance) = done {
                        watch.busy.remove(&instance);
                    }
                    next_pass = Instant::now();
                }
                (instance, verdict) = watch.liveness.next() => self.judge(&mut watch, instance, verdict),
                () = sleep_until(next_pass) => {
                    if let Err(error) = self.pass(&mut watch).await {
                        tracing::warn!(%error, "cannot compare wanted with actual instances");
                    }
                    let now = Instant::now();
                    let soonest = watch.failing.values().filter_map(|f| f.next_try).filter(|at| *at > now).min();
                    let latest = now + self.0.settings.watch_period;
                    next_pass = soonest.unwrap_or(latest).min(latest);
                }
            }
        }
        watch.restarts.shutdown().await;
    }

    fn all_instances(&self) -> Labels {
        crate::engine::labels([(label::SERVER, self.0.settings.server_id.as_str()), (label::INSTANCE, "")])
    }

    /// One comparison of wanted with actual.
    async fn pass(&self, watch: &mut Watch) -> Result<(), RolloutError> {
        self.settle_left_behind().await?;
        self.sweep_one_offs().await?;
        let live = instances::in_state(self.0.store.pool(), InstanceState::Live).await?;
        let containers = self.0.engine.containers(&self.all_instances()).await?;
        let by_instance: HashMap<&str, &Container> =
            containers.iter().filter_map(|c| Some((c.labels.get(label::INSTANCE)?.as_str(), c))).collect();
        watch.failing.retain(|id, failing| {
            live.iter().any(|i| i.id == *id) && (failing.next_try.is_some() || failing.since.elapsed() < FORGIVEN_AFTER)
        });
        let ids = live.iter().map(|i| i.id).collect();
        watch.liveness.retain(&ids);
        watch.sick.retain(|id| ids.contains(id));
        for instance in live {
            if watch.busy.contains(&instance.id) {
                continue;
            }
            let container = by_instance.get(instance.id.to_string().as_str()).copied();
            let running = container.filter(|c| c.state == ContainerState::Running);
            let is_due = match running {
                Some(running) if self.is_ready(&instance) => {
                    watch.liveness.watch(self, &instance, running);
                    false
                }
                Some(_) => true,
                None => self.is_due(&instance, container, watch).await?,
            };
            if is_due {
                watch.busy.insert(instance.id);
                let (rollouts, running) = (self.clone(), running.cloned());
                watch.restarts.spawn(async move { rollouts.restart(instance, running).await });
            }
        }
        Ok(())
    }

    /// Acts on what watching an instance's health has come to.
    fn judge(&self, watch: &mut Watch, instance: Instance, verdict: Verdict) {
        match verdict {
            Verdict::Nothing => {}
            Verdict::Unknown(error) => {
                tracing::warn!(instance.id = %instance.id, %error, "cannot watch the health of an instance yet");
            }
            Verdict::Sick(what) => {
                // Whatever comes of it, the next pass watches what runs then.
                watch.liveness.forget(instance.id);
                if !watch.busy.insert(instance.id) {
                    return;
                }
                watch.sick.insert(instance.id);
                let text = format!("{} fails its liveness check {what}; replacing it", instance.label());
                self.0.logs.note(instance.app_id, "supervisor", &text);
                let rollouts = self.clone();
                watch.restarts.spawn(async move {
                    if let Err(error) = rollouts.end_sick(&instance).await {
                        let text = format!("{} cannot be ended: {error}", instance.label());
                        rollouts.0.logs.note(instance.app_id, "supervisor", &text);
                    }
                    instance.id
                });
            }
        }
    }

    /// Whether an instance takes requests, if its type takes any.
    pub fn is_ready(&self, instance: &Instance) -> bool {
        !instance.process.is_routed() || self.0.ready.lock().expect("no panic while held").contains_key(&instance.id)
    }

    /// Counts each death once, takes the instance out of routing, and says whether its wait is over.
    async fn is_due(
        &self,
        instance: &Instance,
        container: Option<&Container>,
        watch: &mut Watch,
    ) -> Result<bool, RolloutError> {
        let now = Instant::now();
        if let Some(failing) = watch.failing.get_mut(&instance.id)
            && let Some(next_try) = failing.next_try
        {
            if next_try <= now {
                failing.next_try = None;
            }
            return Ok(next_try <= now);
        }
        self.note_gone(instance.id);
        if let Some(upstream) =
            self.table_name(instance).await?.and_then(|name| self.0.table.retire(&name, instance.id))
        {
            upstream.cut();
        }
        let failures = watch.failing.get(&instance.id).map_or(1, |failing| failing.failures + 1);
        let wait = wait_after(failures, self.0.settings.restart_wait);
        watch.failing.insert(instance.id, Failing { failures, next_try: Some(now + wait), since: now });
        let how = match container.map(|c| &c.state) {
            _ if watch.sick.remove(&instance.id) => "was ended for failing its liveness check".to_owned(),
            Some(ContainerState::Exited(status)) => self.how(*status, instance).await,
            Some(_) => "was never started".to_owned(),
            None => "has no container any more".to_owned(),
        };
        let row = if failures > 1 { format!(" (failure {failures} in a row)") } else { String::new() };
        let text = format!("{} {how}; starting it again in {} s{row}", instance.label(), wait.as_secs());
        self.0.logs.note(instance.app_id, "supervisor", &text);
        Ok(false)
    }

    /// How an instance ended; running out of memory with its limit.
    async fn how(&self, status: ExitStatus, instance: &Instance) -> String {
        if status.out_of_memory
            && let Ok(Some(target)) = self.target_of(instance).await
        {
            return ended(status, &self.0.settings, &target, instance);
        }
        describe(status)
    }

    async fn table_name(&self, instance: &Instance) -> Result<Option<AppName>, RolloutError> {
        Ok(apps::by_id(self.0.store.pool(), instance.app_id).await?.map(|app| app.name))
    }

    /// Removes what operations that are over left planned, brings back what they left parked, and ends what they left
    /// draining.
    async fn settle_left_behind(&self) -> Result<(), RolloutError> {
        let store = &self.0.store;
        let planned = instances::in_state(store.pool(), InstanceState::Planned).await?;
        let parked = instances::in_state(store.pool(), InstanceState::Parked).await?;
        let draining = instances::in_state(store.pool(), InstanceState::Draining).await?;
        if planned.is_empty() && parked.is_empty() && draining.is_empty() {
            return Ok(());
        }
        // Read after the rows: an operation that is not live now cannot be the one that is working on them.
        let live = operations::live(store.pool()).await?;
        for instance in planned.iter().filter(|i| !live.iter().any(|o| o.id == i.operation_id)) {
            let served = self.0.admitted.lock().expect("no panic while held").contains(&instance.id);
            self.remove_instance(instance.id).await?;
            if served && let Some(app) = apps::by_id(store.pool(), instance.app_id).await? {
                self.publish(&app).await?;
            }
            // The release could not go while its instances referred to it; the last of them takes it along.
            if let Err(error) = releases::delete_if_pending(store.pool(), instance.release_id).await
                && !matches!(error, StoreError::Dangling)
            {
                return Err(error.into());
            }
        }
        let is_left = |i: &&Instance| !live.iter().any(|o| o.app_id == i.app_id);
        for instance in parked.iter().filter(is_left) {
            // Only now: with nothing new left of its app, it runs once.
            instances::set_state(store.pool(), instance.id, InstanceState::Live).await?;
        }
        for instance in draining.iter().filter(is_left) {
            if let Some(app) = apps::by_id(store.pool(), instance.app_id).await? {
                self.drain(&app, std::slice::from_ref(instance), &|_| {}).await;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let seconds: Vec<u64> =
            [1, 2, 3, 6, 7, 40].map(|failures| wait_after(failures, Duration::from_secs(1)).as_secs()).to_vec();
        assert_eq!(seconds, [1, 2, 4, 32, 60, 60]);
    }
}
