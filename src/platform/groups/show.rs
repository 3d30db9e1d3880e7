//! How a managed instance looks through the doors of apps.

use crate::model::{GroupInstance, GroupInstanceState as State, Instance, InstanceState, OperationId, ProcessType};
use crate::platform::formation::Condition;
use crate::platform::{Error, InstanceView, Platform};
use crate::store::group_instances::{self, Of};
use crate::store::releases;

/// How a managed instance is, as the instances of apps are (spec §16.1); `None` for one that is on its way out.
pub(in crate::platform) fn condition_of(instance: &GroupInstance) -> Option<Condition> {
    Some(match instance.state {
        State::Init => Condition::Initialized,
        State::Starting => Condition::Created,
        State::Running | State::Stopping => Condition::Up,
        State::Stopped if instance.exit_code.is_none() && instance.deployed_at.is_none() => Condition::Error,
        State::Stopped if instance.is_automatic && instance.exit_code != Some(0) => Condition::Crashed,
        State::Stopped => Condition::Down,
        State::Terminating | State::Terminated => return None,
    })
}

impl Platform {
    /// The managed instances of an app, as its other instances are shown.
    pub(in crate::platform) async fn managed_instances(
        &self,
        app: crate::model::AppId,
    ) -> Result<Vec<InstanceView>, Error> {
        let pool = self.0.store.pool();
        let found = group_instances::find(&self.0.store, Of::App(app)).await?;
        let mut views = Vec::with_capacity(found.len());
        for one in found {
            let Some(condition) = condition_of(&one) else { continue };
            let release = releases::by_id(pool, one.release_id).await?;
            let instance = Instance {
                id: one.id,
                app_id: one.app_id,
                release_id: one.release_id,
                version: release.map_or(0, |release| release.version),
                process: ProcessType::cmd(),
                number: one.number,
                state: InstanceState::Live,
                operation_id: OperationId::new(),
                address: None,
                created_at: one.created_at,
                updated_at: one.started_at.unwrap_or(one.created_at),
            };
            views.push(InstanceView { instance, condition });
        }
        Ok(views)
    }
}
