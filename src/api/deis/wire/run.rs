//! A one-off command as a container of type `run` (spec §8).

use super::{Container, ContainerState};
use crate::model::{self, ProcessType};
use crate::platform::OneOff;

impl Container {
    pub(in crate::api::deis) fn one_off(app: &model::App, one_off: &OneOff) -> Self {
        let created = one_off.created_at.deis();
        Self {
            owner: app.owner.to_string(),
            app: app.name.to_string(),
            release: format!("v{}", one_off.version),
            process: ProcessType::run().to_string(),
            num: one_off.number,
            state: if one_off.is_started { ContainerState::Up } else { ContainerState::Created },
            updated: created.clone(),
            created,
            uuid: one_off.id.to_string(),
        }
    }
}
