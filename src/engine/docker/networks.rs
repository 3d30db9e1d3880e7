//! Networks and volumes.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;

use bollard::errors::Error;
use bollard::models::{Ipam, IpamConfig, Network, NetworkCreateRequest, NetworkDisconnectRequest, VolumeCreateRequest};
use bollard::query_parameters::{
    InspectNetworkOptions, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveVolumeOptions,
};

use super::act::Act;
use super::{CALL_LIMIT, Docker, label_filter, unless_gone};
use crate::engine::{EngineError, Labels, Volume};

/// The engine's own address pools are used up after some thirty networks; this block holds [`NETWORKS`] of ours, each a
/// /24. Few home and office networks lie here, and what is in use on this machine is stepped over.
const POOL: u32 = u32::from_be_bytes([10, 208, 0, 0]);

/// Networks in the pool, 10.208.0.0/12.
const NETWORKS: u32 = 1 << 12;

/// A block of addresses: first one and length of the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    start: u32,
    prefix: u32,
}

impl Block {
    fn overlaps(self, other: Self) -> bool {
        let mask = u32::MAX.checked_shl(32 - self.prefix.min(other.prefix)).unwrap_or(0);
        self.start & mask == other.start & mask
    }

    fn parse(cidr: &str) -> Option<Self> {
        let (address, prefix) = cidr.split_once('/')?;
        let block = Self { start: address.parse::<Ipv4Addr>().ok()?.into(), prefix: prefix.parse().ok()? };
        (block.prefix <= 32).then_some(block)
    }
}

impl std::fmt::Display for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.start), self.prefix)
    }
}

impl Docker {
    /// A bridge of its own. Engine 20.10 takes its rules against traffic between bridges away for some ten milliseconds
    /// whenever it creates one; packets between apps can pass then.
    pub(super) async fn make_network(&self, name: &str, labels: &Labels) -> Result<(), EngineError> {
        let act = Act::on("creating", "network", name);
        let _alone = self.network_creation.lock().await;
        let networks = self.all_networks(&HashMap::new()).await?;
        if networks.iter().any(|network| network.name.as_deref() == Some(name)) {
            return Ok(());
        }
        let mut taken = networks.into_iter().flat_map(subnets).collect::<Vec<_>>();
        if self.socket.is_some() {
            // Not there on a machine without IPv4 routes; the engine's own check remains.
            let routes = tokio::fs::read_to_string("/proc/net/route").await.unwrap_or_default();
            taken.extend(routed(&routes));
        }
        for subnet in candidates(name, &taken) {
            let request = network_request(name, labels, subnet);
            match act.raw_within(CALL_LIMIT, self.client.create_network(request)).await? {
                Ok(_) => return Ok(()),
                Err(Error::DockerResponseServerError { message, .. }) if message.contains("overlap") => {}
                Err(Error::DockerResponseServerError { status_code: 409, message })
                    if message.contains("already exists") =>
                {
                    return Ok(());
                }
                Err(error) => return Err(act.failed(error)),
            }
        }
        Err(act.refused("every network of 10.208.0.0/12 is in use; remove some with `docker network prune`"))
    }

    async fn all_networks(&self, filters: &HashMap<String, Vec<String>>) -> Result<Vec<Network>, EngineError> {
        let options = ListNetworksOptionsBuilder::default().filters(filters).build();
        Act::on("listing", "the engine's", "networks")
            .within(CALL_LIMIT, self.client.list_networks(Some(options)))
            .await
    }

    pub(super) async fn drop_network(&self, name: &str) -> Result<(), EngineError> {
        let act = Act::on("removing", "network", name);
        // By id: a name may belong to several networks, and the engine refuses it then.
        for network in self.all_networks(&HashMap::new()).await? {
            if network.name.as_deref() == Some(name) {
                let id = network.id.unwrap_or_default();
                self.disconnect_all(&act, &id).await?;
                unless_gone(act.within(CALL_LIMIT, self.client.remove_network(&id)).await)?;
            }
        }
        Ok(())
    }

    /// Takes out of a network whoever is still in it: somebody may have joined a container of theirs.
    async fn disconnect_all(&self, act: &Act, id: &str) -> Result<(), EngineError> {
        let inspection = self.client.inspect_network(id, None::<InspectNetworkOptions>);
        let network = match act.within(CALL_LIMIT, inspection).await {
            Err(EngineError::NotFound { .. }) => return Ok(()),
            network => network?,
        };
        for container in network.containers.unwrap_or_default().into_keys() {
            let request = NetworkDisconnectRequest { container, force: Some(true) };
            unless_gone(act.within(CALL_LIMIT, self.client.disconnect_network(id, request)).await)?;
        }
        Ok(())
    }

    pub(super) async fn network_names(&self, labels: &Labels) -> Result<Vec<String>, EngineError> {
        let found = self.all_networks(&label_filter(labels)).await?;
        Ok(found.into_iter().filter_map(|network| network.name).collect())
    }

    pub(super) async fn make_volume(&self, name: &str, labels: &Labels) -> Result<(), EngineError> {
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            labels: Some(labels.clone().into_iter().collect()),
            ..VolumeCreateRequest::default()
        };
        let act = Act::on("creating", "volume", name);
        act.within(CALL_LIMIT, self.client.create_volume(request)).await.map(drop)
    }

    pub(super) async fn drop_volume(&self, name: &str) -> Result<(), EngineError> {
        let act = Act::on("removing", "volume", name);
        unless_gone(act.removal(CALL_LIMIT, self.client.remove_volume(name, None::<RemoveVolumeOptions>)).await)
    }

    pub(super) async fn list_volumes(&self, labels: &Labels) -> Result<Vec<Volume>, EngineError> {
        let options = ListVolumesOptionsBuilder::default().filters(&label_filter(labels)).build();
        let act = Act::on("listing", "the engine's", "volumes");
        let found = act.within(CALL_LIMIT, self.client.list_volumes(Some(options))).await?;
        let volume =
            |found: bollard::models::Volume| Volume { name: found.name, labels: found.labels.into_iter().collect() };
        Ok(found.volumes.unwrap_or_default().into_iter().map(volume).collect())
    }
}

fn network_request(name: &str, labels: &Labels, subnet: Block) -> NetworkCreateRequest {
    let config = IpamConfig { subnet: Some(subnet.to_string()), ..IpamConfig::default() };
    NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        ipam: Some(Ipam { driver: Some("default".to_owned()), config: Some(vec![config]), ..Ipam::default() }),
        labels: Some(labels.clone().into_iter().collect()),
        ..NetworkCreateRequest::default()
    }
}

fn subnets(network: Network) -> Vec<Block> {
    let configs = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    configs.iter().filter_map(|config| Block::parse(config.subnet.as_deref()?)).collect()
}

/// Where this machine sends packets (`/proc/net/route`: hexadecimal words in the machine's byte order), without the
/// default route.
fn routed(table: &str) -> Vec<Block> {
    let word = |hex: &str| u32::from_str_radix(hex, 16).ok().map(|word| u32::from_be_bytes(word.to_ne_bytes()));
    let block = |line: &str| {
        let fields = line.split_whitespace().collect::<Vec<_>>();
        let block = Block { start: word(fields.get(1)?)?, prefix: word(fields.get(7)?)?.count_ones() };
        (block.prefix > 0).then_some(block)
    };
    table.lines().skip(1).filter_map(block).collect()
}

/// Free networks of the pool. Each name begins elsewhere, so that two of them rarely want the same one at once.
fn candidates(name: &str, taken: &[Block]) -> impl Iterator<Item = Block> {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let first = (hasher.finish() % u64::from(NETWORKS)) as u32;
    (0..NETWORKS)
        .map(move |step| Block { start: POOL + ((first + step) % NETWORKS) * 256, prefix: 24 })
        .filter(|block| !taken.iter().any(|other| other.overlaps(*block)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(cidr: &str) -> Block {
        Block::parse(cidr).expect(cidr)
    }

    #[test]
    fn blocks_overlap_when_one_holds_the_other() {
        assert!(block("10.208.0.0/12").overlaps(block("10.210.3.0/24")));
        assert!(block("10.210.3.0/24").overlaps(block("10.0.0.0/8")));
        assert!(block("0.0.0.0/0").overlaps(block("10.210.3.0/24")));
        assert!(!block("10.210.3.0/24").overlaps(block("10.210.4.0/24")));
        assert_eq!(Block::parse("fd00::/64"), None);
        assert_eq!(Block::parse("10.0.0.0/33"), None);
    }

    #[test]
    fn candidates_stay_in_the_pool_and_step_over_what_is_taken() {
        let free = candidates("blog", &[]).collect::<Vec<_>>();
        assert_eq!(free.len(), 4096);
        assert!(free.iter().all(|candidate| block("10.208.0.0/12").overlaps(*candidate)));
        let left = candidates("blog", &[free[0], block("10.208.0.0/13")]).collect::<Vec<_>>();
        assert!(left.len() >= 2047 && !left.contains(&free[0]));
        assert!(left.iter().all(|candidate| block("10.216.0.0/13").overlaps(*candidate)));
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn routes_are_read_without_the_default_one() {
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n\
                     eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\n\
                     docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\n";
        assert_eq!(routed(table), [block("172.17.0.0/16")]);
    }
}
