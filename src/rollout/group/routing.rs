//! Requests to managed groups: the router sends them to running instances on their lowest TCP port.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::Rollouts;
use crate::engine::Container;
use crate::model::{AppId, GroupInstance, GroupInstanceState, Protocol};
use crate::route::Listed;
use crate::store::group_instances::{self, Of};
use crate::store::{StoreError, apps};

/// How long an instance may take to show that it answers.
const QUICK: Duration = Duration::from_secs(1);

impl Rollouts {
    /// Whether a running instance that takes requests was seen to answer, or takes none.
    pub(super) fn is_managed_ready(&self, instance: &GroupInstance) -> bool {
        routed_port(instance).is_none() || self.0.ready.lock().expect("no panic while held").contains_key(&instance.id)
    }

    /// Looks whether a running instance answers, and routes to it if so.
    pub(super) async fn verify_managed(
        &self,
        instance: &GroupInstance,
        container: &Container,
    ) -> Result<(), StoreError> {
        let (Some(port), Some(ip)) = (routed_port(instance), container.ip) else { return Ok(()) };
        let address = SocketAddr::new(ip, port);
        if !matches!(timeout(QUICK, TcpStream::connect(address)).await, Ok(Ok(_))) {
            return Ok(());
        }
        self.note_ready(instance.id, Some(address));
        if let Some(app) = apps::by_id(self.0.store.pool(), instance.app_id).await? {
            self.publish(&app).await?;
        }
        Ok(())
    }

    /// The managed instances of an app that take requests now.
    pub(in crate::rollout) async fn managed_upstreams(&self, app: AppId) -> Result<Vec<Listed>, StoreError> {
        let found = group_instances::find(&self.0.store, Of::App(app)).await?;
        let ready = self.0.ready.lock().expect("no panic while held");
        let running = found.iter().filter(|instance| instance.state == GroupInstanceState::Running);
        Ok(running
            .filter_map(|instance| {
                let label = format!("{}.{}", super::spec::PROCESS, instance.number);
                Some(Listed { instance: instance.id, address: *ready.get(&instance.id)?, label })
            })
            .collect())
    }
}

/// The port inside that takes requests.
fn routed_port(instance: &GroupInstance) -> Option<u16> {
    instance.ports.iter().filter(|port| port.protocol == Protocol::Tcp).map(|port| port.inner).min()
}
