//! Addresses and networks of this very machine, which are no tenant's to ask even where the world reaches them.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::model::{IpNetwork, embedded};

/// The machine's own addresses, and the networks of its bridges, where containers are.
#[derive(Debug, Clone, Default)]
pub(super) struct Own {
    addresses: Vec<IpAddr>,
    bridged: Vec<IpNetwork>,
}

impl Own {
    /// What holds now, from `/proc/net`: interfaces come and go.
    ///
    /// # Errors
    /// When the kernel does not say; without IPv6 there is nothing to say of that.
    pub(super) fn read() -> io::Result<Self> {
        let v6 = |path: &str| match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            read => read,
        };
        let mut addresses = local_v4(&fs::read_to_string("/proc/net/fib_trie")?);
        addresses.extend(local_v6(&v6("/proc/net/if_inet6")?));
        let mut bridged = bridged_v4(&fs::read_to_string("/proc/net/route")?, is_bridge);
        bridged.extend(bridged_v6(&v6("/proc/net/ipv6_route")?, is_bridge));
        Ok(Self { addresses, bridged })
    }

    /// Whether an address leads to this machine or into one of its bridges' networks.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let is_here =
            |address| self.addresses.contains(&address) || self.bridged.iter().any(|network| network.contains(address));
        is_here(address) || embedded(address).is_some_and(|inner| is_here(inner.into()))
    }
}

fn is_bridge(interface: &str) -> bool {
    Path::new("/sys/class/net").join(interface).join("bridge").exists()
}

/// Leaves of the routing trie that are delivered to this machine: `/32 host LOCAL` below `|-- ADDRESS`.
fn local_v4(trie: &str) -> Vec<IpAddr> {
    let (mut found, mut leaf) = (Vec::new(), None);
    for line in trie.lines().map(str::trim) {
        match line.strip_prefix("|-- ") {
            Some(address) => leaf = address.parse::<Ipv4Addr>().ok(),
            None if line.ends_with("host LOCAL") => found.extend(leaf.map(IpAddr::from)),
            None => {}
        }
    }
    found
}

fn local_v6(table: &str) -> Vec<IpAddr> {
    table.lines().filter_map(|line| hex_v6(line.split_whitespace().next()?)).map(IpAddr::from).collect()
}

/// Columns of `/proc/net/route`: interface, destination, gateway, four others, mask; addresses as the kernel's own integers.
fn bridged_v4(table: &str, is_bridge: impl Fn(&str) -> bool) -> Vec<IpNetwork> {
    let read = |line: &str| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let number =
            |at: usize| u32::from_str_radix(columns.get(at)?, 16).ok().map(|n| Ipv4Addr::from(n.to_ne_bytes()));
        let (network, gateway, mask) = (number(1)?, number(2)?, number(7)?);
        let bits = u32::from(mask).leading_ones();
        // A way out through a bridge is not the bridge's own network.
        let is_own = gateway.is_unspecified() && bits > 0 && is_bridge(columns.first()?);
        is_own.then_some(IpNetwork { address: network.into(), bits })
    };
    table.lines().skip(1).filter_map(read).collect()
}

/// Columns of `/proc/net/ipv6_route`: destination, its bits, source, its bits, next hop, four others, interface.
fn bridged_v6(table: &str, is_bridge: impl Fn(&str) -> bool) -> Vec<IpNetwork> {
    let read = |line: &str| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let bits = u32::from_str_radix(columns.get(1)?, 16).ok()?;
        let (network, hop) = (hex_v6(columns.first()?)?, hex_v6(columns.get(4)?)?);
        let is_own = hop.is_unspecified() && (1..=128).contains(&bits) && is_bridge(columns.get(9)?);
        is_own.then_some(IpNetwork { address: network.into(), bits })
    };
    table.lines().filter_map(read).collect()
}

fn hex_v6(text: &str) -> Option<Ipv6Addr> {
    u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32).map(Ipv6Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let trie = "Local:\n  |-- 9.9.9.0\n     /24 link UNICAST\n  |-- 9.9.9.1\n     /32 host LOCAL\n  |-- 9.9.9.255\n     \
                    /32 link BROADCAST\n";
        let inet6 = "20010004860000000000000000008888 04 40 00 82     eth0\n";
        let route = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n\
                     br-1\t00080808\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
                     eth0\t00070707\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
                     br-1\t00000000\t01080808\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        let route6 = "2a010000000000000000000000000000 20 00000000000000000000000000000000 00 \
                      00000000000000000000000000000000 00000100 00000001 00000000 00000001 br-1\n";
        let own = Own {
            addresses: [local_v4(trie), local_v6(inet6)].concat(),
            bridged: [bridged_v4(route, |it| it == "br-1"), bridged_v6(route6, |it| it == "br-1")].concat(),
        };
        for (address, expect) in [
            ("9.9.9.1", true),
            ("9.9.9.2", false),
            ("::ffff:9.9.9.1", true),
            ("64:ff9b::909:901", true),
            ("2002:909:901::1", true),
            ("2001:4:8600::8888", true),
            ("8.8.8.5", true),
            ("8.8.9.5", false),
            ("7.7.7.7", false),
            ("2a01::5", true),
            ("2a02::5", false),
        ] {
            assert_eq!(own.has(address.parse().unwrap()), expect, "{address} {own:?}");
        }
        let here = Own::read().unwrap();
        assert!(here.has(Ipv4Addr::LOCALHOST.into()));
    }
}
