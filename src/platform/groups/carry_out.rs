//! What a verb has recorded is carried out by a task of the platform, and by the next life of the server if need be.

use futures_util::future::join_all;

use crate::model::{App, GroupInstanceState as State, InstanceId, OperationKind, ProcessGroup, Step};
use crate::platform::operations::Live;
use crate::platform::{Error, Platform};
use crate::store::group_instances::{self, Of};
use crate::store::process_groups::{self, Completed};
use crate::store::{StoreError, apps};

impl Platform {
    /// Carries out an operation on groups, or goes on with it, in a task of its own. A server that stops leaves it recorded
    /// as it is.
    pub(in crate::platform) fn carry_out(&self, mut live: Live) {
        let platform = self.clone();
        self.0.tracker.spawn(async move {
            let stop = platform.0.stop.clone();
            let work = async {
                let outcome = platform.carry_out_with(&mut live).await;
                if let Err(error) = &outcome {
                    for line in error.lines() {
                        platform.0.logs.note(live.operation().app_id, "deploy", &line);
                    }
                }
                // Its outcome is on record and in the app's stream; nobody waits for it.
                let _ended = live.end(outcome).await;
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }

    async fn carry_out_with(&self, live: &mut Live) -> Result<(), Error> {
        let operation = live.operation().clone();
        if operation.step == Step::Accepted {
            live.journal.pause().await;
        }
        let Some(app) = apps::by_id(self.0.store.pool(), operation.app_id).await? else { return Ok(()) };
        if operation.kind == OperationKind::Destroy {
            if operation.step == Step::Accepted {
                live.journal.step(Step::Destroy).await?;
            }
            return self.finish_destroying(&app).await;
        }
        if operation.step == Step::Accepted {
            live.journal.step(Step::Start).await?;
        }
        match process_groups::managed_of_app(self.0.store.pool(), app.id).await? {
            Some(group) => self.carry_out_managed(live, &group).await,
            None => self.carry_out_plain(operation.kind, &app).await,
        }
    }

    async fn carry_out_managed(&self, live: &Live, group: &ProcessGroup) -> Result<(), Error> {
        let completed = match live.operation().kind {
            OperationKind::Replace => {
                self.go_over(live.operation(), group).await?;
                Completed::Deployment
            }
            OperationKind::Start => Completed::Start,
            OperationKind::Stop => Completed::Stop,
            _ => Completed::Deployment,
        };
        let started = self.settle_instances(group).await?;
        if started > 0 || completed == Completed::Stop {
            process_groups::mark(self.0.store.pool(), group.id, completed).await?;
        }
        Ok(())
    }

    /// Brings all instances of a group to where their rows ask for: first what ends, then what starts. Yields how many
    /// have been started.
    pub(super) async fn settle_instances(&self, group: &ProcessGroup) -> Result<usize, StoreError> {
        let mut instances = group_instances::find(&self.0.store, Of::Group(group.id)).await?;
        instances.sort_by_key(|one| one.number);
        let ids = |wanted: &[State]| -> Vec<InstanceId> {
            instances.iter().filter(|one| wanted.contains(&one.state)).map(|one| one.id).collect()
        };
        self.settle_all(&ids(&[State::Stopping, State::Terminating])).await?;
        let starting = ids(&[State::Starting]);
        if !group.is_sequential {
            return self.settle_all(&starting).await;
        }
        let mut started = 0;
        for id in starting {
            started += self.settle_all(&[id]).await?;
        }
        Ok(started)
    }

    /// Settles instances at once; yields how many run then.
    async fn settle_all(&self, ids: &[InstanceId]) -> Result<usize, StoreError> {
        let settled = join_all(ids.iter().map(|id| self.0.rollouts.settle_group_instance(*id))).await;
        let states = settled.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(states.iter().filter(|state| **state == State::Running).count())
    }

    /// Settles instances one after another in a task of its own; those that a stop of the server leaves behind are the
    /// watch's.
    pub(super) fn settle_aside(&self, ids: Vec<InstanceId>) {
        let platform = self.clone();
        self.0.tracker.spawn(async move {
            let work = async {
                for id in ids {
                    if let Err(error) = platform.0.rollouts.settle_group_instance(id).await {
                        tracing::warn!(instance.id = %id, %error, "cannot carry out what an instance needs yet");
                    }
                }
            };
            tokio::select! {
                () = platform.0.stop.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// The part of groups in the end of an app: it is listed for a while, with the instances that went with it.
    pub(in crate::platform) async fn forget_app(&self, app: &App) -> Result<(), Error> {
        let mut tx = self.0.store.begin().await?;
        group_instances::all_gone(&mut tx, app.id).await?;
        process_groups::mark_destroyed_of_app(&mut tx, app.id).await?;
        apps::delete(&mut *tx, app.id).await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok(())
    }
}
