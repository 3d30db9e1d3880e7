//! Ports of the host: chosen from a range, recorded before they are bound, one container's until it is gone.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use rand::RngExt;

use super::super::Rollouts;
use super::{PortRange, Trouble};
use crate::engine::EngineError;
use crate::model::{GroupInstance, InstanceId, ProcessGroup, Protocol, PublishedPort, QuotaKind};
use crate::store::{StoreError, group_instances, quotas};

impl Rollouts {
    /// The ports that the host publishes for an instance: those that it has, and new ones for the others.
    pub(super) async fn ports_for(
        &self,
        group: &ProcessGroup,
        instance: &GroupInstance,
    ) -> Result<Vec<PublishedPort>, Trouble> {
        let present = self.group_instance(instance.id).await?.map(|now| now.ports).unwrap_or_default();
        let mut ports = Vec::with_capacity(group.ports.len());
        for wanted in &group.ports {
            let has = present.iter().find(|port| (port.inner, port.protocol) == (wanted.inner, wanted.protocol));
            ports.push(match (has, wanted.outer) {
                (Some(port), _) => *port,
                (None, Some(outer)) => {
                    let port = PublishedPort { inner: wanted.inner, protocol: wanted.protocol, outer };
                    if !self.reserve(group, instance.id, port).await? {
                        // It may be the one that this one replaces, on its way out.
                        return Err(Trouble::Away(EngineError::Refused {
                            action: format!("publishing port {outer} of the host"),
                            message: "another container has it".to_owned(),
                        }));
                    }
                    port
                }
                (None, None) => self.choose_port(group, instance.id, wanted.inner, wanted.protocol).await?,
            });
        }
        Ok(ports)
    }

    /// Reserves a port that nothing on the host uses now.
    async fn choose_port(
        &self,
        group: &ProcessGroup,
        id: InstanceId,
        inner: u16,
        protocol: Protocol,
    ) -> Result<PublishedPort, Trouble> {
        for outer in candidates(&self.0.settings.port_range) {
            let port = PublishedPort { inner, protocol, outer };
            if is_free(protocol, outer) && self.reserve(group, id, port).await? {
                return Ok(port);
            }
        }
        let (first, last) = (self.0.settings.port_range.start(), self.0.settings.port_range.end());
        Err(Trouble::Told(format!("no {protocol} port of the host is free between {first} and {last}")))
    }

    /// False when another instance has it.
    async fn reserve(&self, group: &ProcessGroup, id: InstanceId, port: PublishedPort) -> Result<bool, Trouble> {
        if group_instances::is_port_reserved(self.0.store.pool(), port.protocol, port.outer).await? {
            return Ok(false);
        }
        let mut tx = self.0.store.begin().await?;
        let defaults = &self.0.settings.quotas;
        // Here too, since the ports that an image declares are known only now.
        quotas::check_count(&mut tx, defaults, group.owner_id, QuotaKind::Ports, 1)
            .await?
            .map_err(|exceeded| Trouble::Told(exceeded.to_string()))?;
        match group_instances::reserve_port(&mut *tx, id, port).await {
            Ok(()) => {
                tx.commit().await.map_err(StoreError::from)?;
                Ok(true)
            }
            Err(StoreError::Duplicate) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// All ports of the range, from a random one on: several installations on one machine seldom choose the same.
fn candidates(range: &PortRange) -> impl Iterator<Item = u16> {
    let (first, last) = (u32::from(*range.start()), u32::from(*range.end()));
    let count = (last + 1).saturating_sub(first);
    let start = if count > 0 { rand::rng().random_range(0..count) } else { 0 };
    (0..count).filter_map(move |step| u16::try_from(first + (start + step) % count).ok())
}

/// Whether nothing on this host uses the port now. It is bound for an instant; the engine binds it later, and says so if
/// it then is taken.
pub fn is_free(protocol: Protocol, port: u16) -> bool {
    let address = (Ipv4Addr::UNSPECIFIED, port);
    match protocol {
        Protocol::Tcp => TcpListener::bind(address).is_ok(),
        Protocol::Udp => UdpSocket::bind(address).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_of_the_range_is_tried_once() {
        let mut ports: Vec<u16> = candidates(&(50_000..=50_009)).collect();
        assert_eq!(ports.len(), 10);
        ports.sort_unstable();
        assert_eq!(ports, (50_000..=50_009).collect::<Vec<_>>());
        assert_eq!(candidates(&(65_535..=65_535)).collect::<Vec<_>>(), [65_535]);
    }

    #[test]
    fn a_port_in_use_is_not_free() {
        let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        assert!(!is_free(Protocol::Tcp, taken.local_addr().unwrap().port()));
    }
}
