//! The watch over managed instances: the engine's events and a comparison on a period, policies, and intents that nobody
//! carries out.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use super::super::Rollouts;
use super::end::REMOVED;
use super::{exit_message, is_away};
use crate::engine::{Container, ContainerState, EngineError, ExitStatus, label};
use crate::model::{
    Budget, Ending, GroupId, GroupInstance, GroupInstanceState as State, InstanceId, ProcessGroup, Remedy, Timestamp,
};
use crate::store::group_instances::{self, Move, Of};
use crate::store::{StoreError, apps, operations, process_groups};

/// Restarts of one container: so many within that time (spec §12).
const RESTARTS: (usize, Duration) = (3, Duration::from_secs(60));
/// Replacements in one group.
const REPLACEMENTS: (usize, Duration) = (3, Duration::from_secs(300));
/// Between the end of a container and its automatic restart.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two looks at instances that do not answer yet.
const VERIFY: Duration = Duration::from_millis(300);
/// How long after its start an instance that does not answer yet is looked at so often.
const EAGER: Duration = Duration::from_secs(60);
/// How a process ends that the kernel kills.
const KILLED: ExitStatus = ExitStatus { code: 137, out_of_memory: false };

/// What the watch remembers. Lost with the server, which forgives what was before.
#[derive(Default)]
struct Watch {
    restarts: HashMap<InstanceId, Budget>,
    replacements: HashMap<GroupId, Budget>,
    /// Instances that a task works on.
    busy: HashSet<InstanceId>,
    tasks: JoinSet<Vec<InstanceId>>,
    /// Instances whose output is collected, or was.
    followed: HashSet<InstanceId>,
    /// When a running instance that does not answer yet is looked at again.
    next_look: HashMap<InstanceId, Instant>,
    /// What is found ended in the next look ended with the engine, or while nobody looked.
    is_after_outage: bool,
}

impl Rollouts {
    /// Runs until the server stops; containers run on.
    pub async fn watch_groups(self) {
        let mut watch = Watch { is_after_outage: true, ..Watch::default() };
        let mut next_pass = tokio::time::Instant::now();
        let mut events = self.0.engine.events(&self.managed_labels());
        loop {
            tokio::select! {
                // That the engine ended is to be known before what ended with it is looked at.
                biased;
                () = self.0.stop.cancelled() => break,
                event = events.next() => match event {
                    Some(Ok(_)) => next_pass = tokio::time::Instant::now(),
                    Some(Err(_)) | None => {
                        // An engine that ends closes this first, and only then ends its containers.
                        watch.is_after_outage = true;
                        sleep(Duration::from_millis(500)).await;
                        events = self.0.engine.events(&self.managed_labels());
                    }
                },
                () = self.0.groups.changed.notified() => next_pass = tokio::time::Instant::now(),
                Some(done) = watch.tasks.join_next(), if !watch.tasks.is_empty() => {
                    // What panicked stays busy: it would panic again. The log has it.
                    for instance in done.unwrap_or_default() {
                        watch.busy.remove(&instance);
                    }
                    next_pass = tokio::time::Instant::now();
                }
                () = sleep_until(next_pass) => {
                    let wait = match self.group_pass(&mut watch).await {
                        Ok(wait) => wait,
                        Err(error) => {
                            tracing::warn!(%error, "cannot compare wanted with actual group instances");
                            self.0.settings.watch_period
                        }
                    };
                    next_pass = tokio::time::Instant::now() + wait.min(self.0.settings.watch_period);
                }
            }
        }
        watch.tasks.shutdown().await;
    }

    /// One comparison; yields when the next is due.
    async fn group_pass(&self, watch: &mut Watch) -> anyhow::Result<Duration> {
        // Containers are listed before rows: one that is made in between has its row and is not seen here.
        let containers = match self.0.engine.containers(&self.managed_labels()).await {
            Ok(containers) => containers,
            Err(error) => {
                watch.is_after_outage |= is_away(&error);
                return Err(error.into());
            }
        };
        let is_after_outage = std::mem::take(&mut watch.is_after_outage);
        let rows = self.group_rows().await?;
        let live = operations::live(self.0.store.pool()).await?;
        let live: HashSet<_> = live.into_iter().filter(|it| it.kind.is_of_groups()).map(|it| it.app_id).collect();
        // Whose app is on its way out goes with it.
        let destroying: HashSet<_> =
            apps::destroying(self.0.store.pool()).await?.into_iter().map(|app| app.id).collect();
        let by_instance: HashMap<&str, &Container> =
            containers.iter().filter_map(|c| Some((c.labels.get(label::INSTANCE)?.as_str(), c))).collect();
        let mut wait = self.0.settings.watch_period;
        for instance in &rows {
            if watch.busy.contains(&instance.id) || destroying.contains(&instance.app_id) {
                continue;
            }
            let container = by_instance.get(instance.id.to_string().as_str()).copied();
            if instance.state.is_transitional() {
                // Whoever holds the app's lock carries out its own.
                if !live.contains(&instance.app_id) {
                    self.settle_aside(watch, vec![instance.id], Duration::ZERO);
                }
            } else if instance.state == State::Stopped {
                if Self::runs(container) {
                    self.adopt(instance).await?;
                }
            } else if Self::runs(container) {
                if let Some(container) = container {
                    self.look_after(watch, instance, container);
                }
                if !self.is_managed_ready(instance) && is_young(instance) {
                    wait = VERIFY;
                }
            } else {
                self.ended(watch, instance, is_after_outage).await?;
            }
        }
        watch.followed.retain(|id| rows.iter().any(|row| row.id == *id));
        watch.next_look.retain(|id, _| rows.iter().any(|row| row.id == *id));
        watch.restarts.retain(|id, _| rows.iter().any(|row| row.id == *id));
        self.remove_orphans(&containers).await?;
        Ok(wait)
    }

    /// Instances that have, or may have, a container.
    async fn group_rows(&self) -> Result<Vec<GroupInstance>, StoreError> {
        let states = [State::Running, State::Starting, State::Stopping, State::Stopped, State::Terminating];
        group_instances::find(&self.0.store, Of::States(&states)).await
    }

    fn settle_aside(&self, watch: &mut Watch, ids: Vec<InstanceId>, pause: Duration) {
        watch.busy.extend(&ids);
        let rollouts = self.clone();
        watch.tasks.spawn(async move {
            sleep(pause).await;
            for id in &ids {
                if let Err(error) = rollouts.settle_group_instance(*id).await {
                    tracing::warn!(instance.id = %id, %error, "cannot carry out what a group's instance needs yet");
                }
            }
            ids
        });
    }

    /// A stopped instance whose container somebody started behind Slipway's back: it runs.
    async fn adopt(&self, instance: &GroupInstance) -> anyhow::Result<()> {
        // Looked up after the row was read: it may have been stopped since all containers were listed.
        if Self::runs(self.container_of(instance.id).await?.as_ref())
            && self.advance(instance.id, State::Stopped, Move::Run).await?
        {
            let text = format!("{}.{} was started behind Slipway's back", super::spec::PROCESS, instance.number);
            self.0.logs.note(instance.app_id, "supervisor", &text);
            self.0.groups.changed.notify_one();
        }
        Ok(())
    }

    /// A running instance: its output is collected, and once it answers it gets requests.
    fn look_after(&self, watch: &mut Watch, instance: &GroupInstance, container: &Container) {
        if watch.followed.insert(instance.id) {
            let process = crate::model::ProcessType::cmd();
            self.0.collector.follow(instance.app_id, &process, instance.number, instance.id, &container.id);
        }
        let now = Instant::now();
        if self.is_managed_ready(instance) || watch.next_look.get(&instance.id).is_some_and(|next| *next > now) {
            return;
        }
        let pause = if is_young(instance) { VERIFY } else { self.0.settings.watch_period };
        watch.next_look.insert(instance.id, now + pause);
        watch.busy.insert(instance.id);
        let (rollouts, instance, container) = (self.clone(), instance.clone(), container.clone());
        watch.tasks.spawn(async move {
            if let Err(error) = rollouts.verify_managed(&instance, &container).await {
                tracing::warn!(instance.id = %instance.id, %error, "cannot route to a group's instance yet");
            }
            vec![instance.id]
        });
    }

    /// An instance that should run and does not: its group's policies say what is done (spec §12).
    async fn ended(&self, watch: &mut Watch, instance: &GroupInstance, is_after_outage: bool) -> anyhow::Result<()> {
        let pool = self.0.store.pool();
        // Looked up after the row was read: it may have been started since all containers were listed.
        let container = self.container_of(instance.id).await?;
        if Self::runs(container.as_ref()) {
            return Ok(());
        }
        let Some(group) = process_groups::by_id(pool, instance.group_id).await? else { return Ok(()) };
        let (status, message) = match container.as_ref().map(|container| &container.state) {
            Some(ContainerState::Exited(status)) => (*status, exit_message(*status)),
            // Made anew behind our back, or lost between its creation and its start.
            Some(_) => (KILLED, "The container was never started".to_owned()),
            None => (KILLED, REMOVED.to_owned()),
        };
        let ending = if is_after_outage { Ending::WithTheEngine } else { Ending::Alone(status.code) };
        let now = Instant::now();
        let may_restart = watch.restarts.entry(instance.id).or_default().has_left(now, RESTARTS.0, RESTARTS.1);
        let may_replace = watch.replacements.entry(group.id).or_default().has_left(now, REPLACEMENTS.0, REPLACEMENTS.1);
        let remedy = group.policies.remedy(ending, may_restart, may_replace);
        self.cut_routing(instance).await?;
        match remedy {
            Remedy::Restart => {
                let again = Move::Restart(status.code, message.clone());
                if self.advance(instance.id, State::Running, again).await? {
                    if let Ending::Alone(_) = ending {
                        watch.restarts.entry(instance.id).or_default().spend(now);
                    }
                    self.settle_aside(watch, vec![instance.id], PAUSE);
                }
            }
            Remedy::Replace => {
                if let Some(new) = self.replace_managed(&group, instance).await? {
                    watch.replacements.entry(group.id).or_default().spend(now);
                    self.settle_aside(watch, vec![instance.id, new], Duration::ZERO);
                }
            }
            Remedy::Destroy => {
                if self.advance(instance.id, State::Running, Move::Terminate).await? {
                    self.settle_aside(watch, vec![instance.id], Duration::ZERO);
                }
            }
            Remedy::None => {
                self.advance(instance.id, State::Running, Move::Ended(status.code, message.clone())).await?;
            }
        }
        let done = match remedy {
            Remedy::Restart => "starting it again",
            Remedy::Replace => "replacing it",
            Remedy::Destroy => "terminating it",
            Remedy::None => "it stays stopped",
        };
        let text = format!("{}.{} ended: {message}; {done}", super::spec::PROCESS, instance.number);
        self.0.logs.note(instance.app_id, "supervisor", &text);
        Ok(())
    }

    /// Terminates an instance and records another one in its place; `None` when it is not running any more, or somebody is
    /// changing its app.
    async fn replace_managed(
        &self,
        group: &ProcessGroup,
        instance: &GroupInstance,
    ) -> Result<Option<InstanceId>, StoreError> {
        let mut tx = self.0.store.begin().await?;
        if !process_groups::lock(&mut *tx, group.id).await?
            || operations::live_of(&mut *tx, group.app_id).await?.is_some_and(|live| live.kind.is_of_groups())
            || !group_instances::advance(&mut *tx, instance.id, &[State::Running], &Move::Terminate).await?
        {
            tx.rollback().await?;
            return Ok(None);
        }
        let present = group_instances::list(&mut tx, Of::Group(group.id)).await?;
        let new = GroupInstance {
            id: InstanceId::new(),
            number: lowest_free_number(&present),
            state: State::Starting,
            is_automatic: true,
            exit_code: None,
            exit_message: None,
            ports: Vec::new(),
            created_at: Timestamp::now(),
            deployed_at: None,
            started_at: None,
            stopped_at: None,
            destroyed_at: None,
            ..instance.clone()
        };
        group_instances::insert(&mut *tx, &new).await?;
        tx.commit().await?;
        Ok(Some(new.id))
    }

    /// Removes containers whose instance is gone: those that could not be removed in time.
    async fn remove_orphans(&self, containers: &[Container]) -> anyhow::Result<()> {
        let known: HashSet<String> = group_instances::ids(self.0.store.pool()).await?.into_iter().collect();
        for container in containers {
            let is_known = container.labels.get(label::INSTANCE).is_some_and(|id| known.contains(id));
            if !is_known {
                let removed: Result<(), EngineError> = self.0.engine.remove_container(&container.id).await;
                if let Err(error) = removed {
                    tracing::warn!(container.name = %container.name, %error, "cannot remove what is left of a group");
                }
            }
        }
        Ok(())
    }
}

/// Whether an instance may still be on its way to answering.
fn is_young(instance: &GroupInstance) -> bool {
    instance.started_at.is_some_and(|at| at.elapsed() < EAGER)
}

/// The smallest positive number that no live instance has (spec §7.2).
pub fn lowest_free_number(present: &[GroupInstance]) -> u32 {
    let taken: HashSet<u32> = present.iter().filter(|one| one.state.is_live()).map(|one| one.number).collect();
    (1..).find(|number| !taken.contains(number)).unwrap_or(u32::MAX)
}
