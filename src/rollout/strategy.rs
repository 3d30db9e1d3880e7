//! In which order new instances come and old ones go, up to the switch, and how that is taken back.

use std::collections::VecDeque;

use futures_util::future::join_all;

use super::plan::{Plan, Scope};
use super::{Event, Progress, RolloutError, Rollouts, Target, spec};
use crate::model::{App, Formation, Instance, InstanceState, OperationId, Strategy};
use crate::store::{StoreError, instances};

impl Rollouts {
    /// The strategy for this plan: what the app asks for, or what the node's memory allows.
    pub(super) async fn strategy_for(
        &self,
        target: &Target,
        plan: &Plan,
        scope: Scope<'_>,
        out: Progress<'_>,
    ) -> Result<Strategy, RolloutError> {
        let asked = Strategy::of_config(&target.config.values)?;
        if scope == Scope::Difference || plan.start.is_empty() || plan.stop.is_empty() {
            return Ok(Strategy::Beside);
        }
        if let Some(strategy) = asked {
            return Ok(strategy);
        }
        // One by one is what is done with a single instance anyway.
        if plan.start.len() < 2 {
            return Ok(Strategy::Beside);
        }
        let needed: i64 = plan.start.iter().map(|i| spec::memory(&self.0.settings, target, &i.process)).sum();
        match self.0.engine.info().await?.memory_available_bytes {
            Some(available) if available < needed => {
                out(Event::Line(&format!(
                    "       All of v{} beside what runs may take {} MiB and {} MiB are free: replacing one instance at a time",
                    target.release.version,
                    needed >> 20,
                    available >> 20
                )));
                Ok(Strategy::Rolling { surge: 1 })
            }
            _ => Ok(Strategy::Beside),
        }
    }

    /// Starts what the plan starts until all of it is healthy. What has to make way for it is parked; yields how many of
    /// the plan's old ones, in the order of [`routed_first`].
    pub(super) async fn bring_up(
        &self,
        target: &Target,
        plan: &Plan,
        strategy: Strategy,
        out: Progress<'_>,
    ) -> Result<usize, RolloutError> {
        self.prepare(target, &plan.start).await?;
        let headline = format!("-----> Launching v{}: {}", target.release.version, counts(&plan.start));
        let headline = || plan.start.first().into_iter().for_each(|_| out(Event::Line(&headline)));
        let parked = match strategy {
            Strategy::Beside => {
                headline();
                self.launch(target, &plan.start, out).await?;
                0
            }
            Strategy::StopFirst => {
                out(Event::Line(&format!(
                    " !     SLIPWAY_STRATEGY=stop-first: {} of v{} end now, before v{} starts.",
                    counts(&plan.stop),
                    plan.stop[0].version,
                    target.release.version
                )));
                out(Event::Line(" !     Until it is healthy, nobody serves: requests are answered 503."));
                self.park(&target.app, &plan.stop, out).await?;
                headline();
                self.launch(target, &plan.start, out).await?;
                plan.stop.len()
            }
            Strategy::Rolling { surge } => {
                headline();
                self.roll(target, plan, usize::try_from(surge).unwrap_or(usize::MAX), out).await?
            }
        };
        // One that comes up alone has only just been seen to be healthy.
        if plan.start.len() > 1 {
            self.refuse_ended(target, &plan.start).await?;
        }
        Ok(parked)
    }

    /// Batch by batch: new ones start and serve, then as many old ones make way for the next batch. The old ones that the
    /// last batch replaces are left to the switch.
    async fn roll(&self, target: &Target, plan: &Plan, surge: usize, out: Progress<'_>) -> Result<usize, RolloutError> {
        let (new, mut old) = (routed_first(&plan.start), VecDeque::from(routed_first(&plan.stop)));
        let most = new.len().max(old.len()).saturating_add(surge);
        let mut healthy = 0;
        for batch in new.chunks(surge) {
            let too_many = (old.len() + healthy + batch.len()).saturating_sub(most).min(old.len());
            if too_many > 0 {
                let make_way: Vec<Instance> = old.drain(..too_many).collect();
                self.park(&target.app, &make_way, out).await?;
            }
            self.launch(target, batch, out).await?;
            self.0.admitted.lock().expect("no panic while held").extend(batch.iter().map(|i| i.id));
            self.publish(&target.app).await?;
            healthy += batch.len();
            if healthy < new.len() {
                self.refuse_ended(target, &new[..healthy]).await?;
            }
            out(Event::Line(&format!("       {healthy} of {} healthy ({})", new.len(), counts(batch))));
        }
        Ok(plan.stop.len() - old.len())
    }

    /// Ends instances that stay wanted until the switch: no more requests, drain, stop. Their rows are parked first, so
    /// that whoever finds them brings them back.
    async fn park(&self, app: &App, old: &[Instance], out: Progress<'_>) -> Result<(), RolloutError> {
        for instance in old {
            instances::set_state(self.0.store.pool(), instance.id, InstanceState::Parked).await?;
            self.note_gone(instance.id);
        }
        self.publish(app).await?;
        for ended in self.empty_and_stop(old, out).await {
            ended?;
        }
        Ok(())
    }

    /// Undoes what an operation started but did not switch to, and puts back what it had parked. A part that fails is
    /// logged and left recorded as it is; the supervisor comes back to it.
    pub(super) async fn unwind(&self, app: &App, operation: &OperationId, strategy: Strategy, out: Progress<'_>) {
        if let Err(error) = self.try_unwind(app, operation, strategy, out).await {
            tracing::warn!(app.name = %app.name, operation.id = %operation, %error, "cannot take back all of a rollout yet");
        }
    }

    async fn try_unwind(
        &self,
        app: &App,
        operation: &OperationId,
        strategy: Strategy,
        out: Progress<'_>,
    ) -> Result<(), RolloutError> {
        let present = instances::of_app(self.0.store.pool(), app.id).await?;
        let admitted = self.0.admitted.lock().expect("no panic while held").clone();
        let is_new = |i: &&Instance| i.state == InstanceState::Planned && i.operation_id == *operation;
        let (mut serving, unseen): (Vec<&Instance>, Vec<&Instance>) =
            present.iter().filter(is_new).partition(|i| admitted.contains(&i.id));
        // These first, so that there is room, and so that what cannot run twice does not.
        for instance in unseen {
            self.remove_instance(instance.id).await?;
        }
        let parked: Vec<Instance> = present.iter().filter(|i| i.state == InstanceState::Parked).cloned().collect();
        if let Some(first) = parked.first() {
            out(Event::Line(&format!("-----> Putting v{} back: {}", first.version, counts(&parked))));
        }
        let batch = match strategy {
            Strategy::Rolling { surge } => usize::try_from(surge).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        for back in parked.chunks(batch) {
            join_all(back.iter().map(|instance| self.unpark(instance))).await;
            self.publish(app).await?;
            // The new ones served since they were healthy; they make way as the old ones come back.
            let count = back.len().min(serving.len());
            let leave: Vec<Instance> = serving.drain(..count).cloned().collect();
            self.dismiss(app, &leave, out).await?;
        }
        let rest: Vec<Instance> = serving.into_iter().cloned().collect();
        self.dismiss(app, &rest, out).await
    }

    /// Ends new instances that had begun to serve.
    async fn dismiss(&self, app: &App, new: &[Instance], out: Progress<'_>) -> Result<(), RolloutError> {
        if new.is_empty() {
            return Ok(());
        }
        {
            let mut admitted = self.0.admitted.lock().expect("no panic while held");
            admitted.retain(|id| !new.iter().any(|instance| instance.id == *id));
        }
        self.publish(app).await?;
        for ended in self.empty_and_stop(new, out).await {
            ended?;
        }
        for instance in new {
            self.remove_instance(instance.id).await?;
        }
        Ok(())
    }

    /// Starts a parked instance again. Whatever comes of it, it is live afterwards, and the supervisor's if it is not up.
    pub(super) async fn unpark(&self, instance: &Instance) {
        let up = async {
            let Some(target) = self.target_of(instance).await? else { return Ok(()) };
            self.stop_instance(instance.id).await?;
            self.ensure_network(&target).await?;
            self.launch_one(&target, instance).await.map(drop)
        };
        let up: Result<(), RolloutError> = up.await;
        if let Err(error) = up {
            let text = format!("{} cannot be put back yet: {error}", instance.label());
            self.0.logs.note(instance.app_id, "deploy", &text);
        }
        let live = instances::set_state(self.0.store.pool(), instance.id, InstanceState::Live).await;
        if let Err(error) = live {
            tracing::error!(instance.id = %instance.id, %error, "cannot record that an instance is back");
        }
    }

    /// Makes what an operation that is over left parked live again: the supervisor starts it. Nothing new may be left.
    pub(super) async fn restore_parked(&self, app: &App) -> Result<(), StoreError> {
        for instance in instances::of_app(self.0.store.pool(), app.id).await? {
            if instance.state == InstanceState::Parked {
                instances::set_state(self.0.store.pool(), instance.id, InstanceState::Live).await?;
            }
        }
        Ok(())
    }
}

/// Those that take requests first: they are replaced before the others, and never end before others serve.
pub(super) fn routed_first(instances: &[Instance]) -> Vec<Instance> {
    let mut sorted = instances.to_vec();
    sorted.sort_by_key(|i| (!i.process.is_routed(), i.process.clone(), i.number));
    sorted
}

/// `web=2 worker=1`
pub(super) fn counts(instances: &[Instance]) -> Formation {
    let mut counts = Formation::default();
    instances.iter().for_each(|i| *counts.0.entry(i.process.clone()).or_default() += 1);
    counts
}
