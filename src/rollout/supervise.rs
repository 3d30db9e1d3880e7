//! Supervision: live instances that are not running are started again, with back-off.
//!
//! Two sources, one decision: the engine's events make it quick, a comparison of wanted with actual on a period makes it
//! certain. Docker's own restart policy is not used: it loses against `docker kill` and knows nothing of drains.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::probe::{Probe, ProbeError};
use super::report::describe;
use super::{RolloutError, Rollouts, spec};
use crate::engine::{Container, ContainerState, Labels, label};
use crate::model::{AppName, Instance, InstanceId, InstanceState};
use crate::store::{StoreError, apps, instances, operations, releases};

/// Between two comparisons of wanted with actual.
const PERIOD: Duration = Duration::from_secs(5);
/// The first wait before a restart; each failure in a row doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(1);
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
    busy: HashSet<InstanceId>,
    restarts: JoinSet<InstanceId>,
}

/// The wait after so many failures in a row: 1 s, 2 s, 4 s ... at most 60 s.
fn wait_after(failures: u32) -> Duration {
    FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(LONGEST_WAIT)
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
                () = sleep_until(next_pass) => {
                    if let Err(error) = self.pass(&mut watch).await {
                        tracing::warn!(%error, "cannot compare wanted with actual instances");
                    }
                    let now = Instant::now();
                    let soonest = watch.failing.values().filter_map(|f| f.next_try).filter(|at| *at > now).min();
                    next_pass = soonest.unwrap_or(now + PERIOD).min(now + PERIOD);
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
        for instance in live {
            if watch.busy.contains(&instance.id) {
                continue;
            }
            let container = by_instance.get(instance.id.to_string().as_str()).copied();
            let is_running = container.is_some_and(|c| c.state == ContainerState::Running);
            let is_due =
                if is_running { !self.is_ready(&instance) } else { self.is_due(&instance, container, watch).await? };
            if is_due {
                watch.busy.insert(instance.id);
                let (rollouts, running) = (self.clone(), container.filter(|_| is_running).cloned());
                watch.restarts.spawn(async move { rollouts.restart(instance, running).await });
            }
        }
        Ok(())
    }

    fn is_ready(&self, instance: &Instance) -> bool {
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
        let wait = wait_after(failures);
        watch.failing.insert(instance.id, Failing { failures, next_try: Some(now + wait), since: now });
        let how = match container.map(|c| &c.state) {
            Some(ContainerState::Exited(status)) => describe(*status),
            Some(_) => "was never started".to_owned(),
            None => "has no container any more".to_owned(),
        };
        let text = format!("{} {how}; starting it again in {} s", instance.label(), wait.as_secs());
        self.0.logs.note(instance.app_id, "supervisor", &text);
        Ok(false)
    }

    async fn table_name(&self, instance: &Instance) -> Result<Option<AppName>, RolloutError> {
        Ok(apps::by_id(self.0.store.pool(), instance.app_id).await?.map(|app| app.name))
    }

    /// Brings one instance back: a running container is only verified, anything else makes way for a fresh one.
    async fn restart(&self, instance: Instance, running: Option<Container>) -> InstanceId {
        let work = self.try_restart(&instance, running);
        let done = tokio::select! {
            () = self.0.stop.cancelled() => Ok(()),
            done = work => done,
        };
        if let Err(error) = done {
            self.0.logs.note(
                instance.app_id,
                "supervisor",
                &format!("{} cannot be started: {error}", instance.label()),
            );
        }
        instance.id
    }

    async fn try_restart(&self, instance: &Instance, running: Option<Container>) -> anyhow::Result<()> {
        let Some(target) = self.target_of(instance).await? else { return Ok(()) };
        let container = match running {
            Some(container) => container,
            None => {
                self.stop_instance(instance.id).await?;
                let labels = spec::app_labels(&self.0.settings.server_id, &target.app);
                self.0.engine.ensure_network(&spec::app_network(target.app.id), &labels).await?;
                self.start_instance(&target, instance).await?
            }
        };
        let probe = Probe::of(&self.0.settings, &target, &instance.process);
        let limit = self.0.settings.boot_timeout;
        let healthy = probe.until_healthy(&*self.0.engine, &container.id, container.ip, limit).await;
        match instances::get(self.0.store.pool(), instance.id).await? {
            Some(now) if now.state == InstanceState::Live => {}
            // It was let go while it was being brought back; whoever let it go may have looked before it existed.
            _ => return Ok(self.0.engine.remove_container(&container.id).await?),
        }
        match healthy {
            Ok(()) => {
                let address = probe.address(container.ip);
                instances::set_address(self.0.store.pool(), instance.id, address).await?;
                self.note_ready(instance.id, address);
                self.publish(&target.app).await?;
                self.0.logs.note(instance.app_id, "supervisor", &format!("{} is up", instance.label()));
            }
            Err(ProbeError::Exited(_)) => {}
            Err(ProbeError::Engine(error)) => return Err(error.into()),
            Err(ProbeError::TimedOut(last)) => {
                // A process that runs but does not answer is as good as dead: the next pass counts it and waits longer.
                self.0.logs.note(
                    instance.app_id,
                    "supervisor",
                    &format!("{} does not answer: {last}", instance.label()),
                );
                self.0.engine.stop_container(&container.id, self.0.settings.stop_grace).await?;
            }
        }
        Ok(())
    }

    /// Removes what operations that are over left planned, and ends what they left draining.
    async fn settle_left_behind(&self) -> Result<(), RolloutError> {
        let store = &self.0.store;
        let planned = instances::in_state(store.pool(), InstanceState::Planned).await?;
        let draining = instances::in_state(store.pool(), InstanceState::Draining).await?;
        if planned.is_empty() && draining.is_empty() {
            return Ok(());
        }
        // Read after the rows: an operation that is not live now cannot be the one that is working on them.
        let live = operations::live(store.pool()).await?;
        for instance in planned.iter().filter(|i| !live.iter().any(|o| o.id == i.operation_id)) {
            self.remove_instance(instance.id).await?;
            // The release could not go while its instances referred to it; the last of them takes it along.
            if let Err(error) = releases::delete_if_pending(store.pool(), instance.release_id).await
                && !matches!(error, StoreError::Dangling)
            {
                return Err(error.into());
            }
        }
        for instance in draining.iter().filter(|i| !live.iter().any(|o| o.app_id == i.app_id)) {
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
        let seconds: Vec<u64> = [1, 2, 3, 6, 7, 40].map(|failures| wait_after(failures).as_secs()).to_vec();
        assert_eq!(seconds, [1, 2, 4, 32, 60, 60]);
    }
}
