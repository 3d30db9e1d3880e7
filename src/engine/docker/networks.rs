//! Networks and volumes.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use bollard::errors::Error;
use bollard::models::{Ipam, IpamConfig, Network, NetworkCreateRequest, NetworkDisconnectRequest, VolumeCreateRequest};
use bollard::query_parameters::{
    InspectNetworkOptions, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveVolumeOptions,
};

use super::act::Act;
use super::{CALL_LIMIT, Docker, label_filter, unless_gone};
use crate::engine::{BUILD_NETWORK, EngineError, Labels, Volume};
use crate::net::Block;

/// Where our networks lie.
struct Pool {
    block: Block,
    /// Length of the prefix of each network.
    prefix: u32,
}

/// Those of apps. The engine's own address pools are used up after some thirty networks; this one holds 4096. Few home and
/// office networks lie here, and what is in use on this machine is stepped over.
const APPS: Pool = Pool { block: Block { start: u32::from_be_bytes([10, 208, 0, 0]), prefix: 12 }, prefix: 24 };

/// Those of builds, 4096 that hold one container each: neither apps nor builds take the others' addresses, and an address
/// tells whether a build has it. `scripts/firewall` names both.
const BUILDS: Pool = Pool { block: Block { start: u32::from_be_bytes([10, 224, 0, 0]), prefix: 16 }, prefix: 28 };

/// The engine's default network, which its own builder uses.
const DEFAULT_NETWORK: &str = "bridge";

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
        let pool = if name.starts_with(BUILD_NETWORK) { &BUILDS } else { &APPS };
        for subnet in pool.candidates(name, &taken) {
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
        let why = format!("every network of {} is in use; remove some with `docker network prune`", pool.block);
        Err(act.refused(why))
    }

    /// Where builds have their addresses: our networks of builds, and the default network, in which the engine's own builder
    /// runs the steps of Dockerfiles.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn build_addresses(&self) -> Result<Vec<Block>, EngineError> {
        let act = Act::on("looking up", "network", DEFAULT_NETWORK);
        let inspection = self.client.inspect_network(DEFAULT_NETWORK, None::<InspectNetworkOptions>);
        let default = match act.within(CALL_LIMIT, inspection).await {
            // An engine may have none.
            Err(EngineError::NotFound { .. }) => Vec::new(),
            network => configs(network?.ipam),
        };
        Ok(default.into_iter().chain([BUILDS.block]).collect())
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
    configs(network.ipam)
}

fn configs(ipam: Option<Ipam>) -> Vec<Block> {
    let configs = ipam.and_then(|ipam| ipam.config).unwrap_or_default();
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

impl Pool {
    /// Free networks. Each name begins elsewhere, so that two of them rarely want the same one at once.
    fn candidates(&self, name: &str, taken: &[Block]) -> impl Iterator<Item = Block> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let (start, prefix, count) = (self.block.start, self.prefix, 1 << (self.prefix - self.block.prefix));
        let first = (hasher.finish() % u64::from(count)) as u32;
        (0..count)
            .map(move |step| Block { start: start + ((first + step) % count) * (1 << (32 - prefix)), prefix })
            .filter(|block| !taken.iter().any(|other| other.overlaps(*block)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(cidr: &str) -> Block {
        Block::parse(cidr).expect(cidr)
    }

    #[test]
    fn candidates_stay_in_their_pool_and_step_over_what_is_taken() {
        let free = APPS.candidates("blog", &[]).collect::<Vec<_>>();
        assert_eq!(free.len(), 4096);
        assert!(free.iter().all(|candidate| block("10.208.0.0/12").overlaps(*candidate)));
        let left = APPS.candidates("blog", &[free[0], block("10.208.0.0/13")]).collect::<Vec<_>>();
        assert!(left.len() >= 2047 && !left.contains(&free[0]));
        assert!(left.iter().all(|candidate| block("10.216.0.0/13").overlaps(*candidate)));
        let builds = BUILDS.candidates("blog", &[block("10.224.1.0/24")]).collect::<Vec<_>>();
        assert_eq!(builds.len(), 4096 - 16);
        assert!(builds.iter().all(|candidate| candidate.prefix == 28 && BUILDS.block.overlaps(*candidate)));
        assert!(!BUILDS.block.overlaps(APPS.block));
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
