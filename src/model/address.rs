//! Which addresses are anybody's to ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks of IPv4 that are not globally reachable, or that stand for a machine beside this one.
///
/// Source: IANA's registry of special-purpose addresses. 192.88.99.0/24 was the relays' of 6to4 (RFC 7526); 168.63.129.16 is where a cloud
/// answers its own machines.
const SPECIAL_V4: [([u8; 4], u32); 17] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([168, 63, 129, 16], 32),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
    ([255, 255, 255, 255], 32),
];

/// Whether an address is globally reachable, so that whoever asks it is a stranger there as anybody else is.
///
/// An IPv6 address that stands for an IPv4 one (mapped, NAT64, 6to4) is judged by that one. Of IPv6 only what is assigned to the world,
/// 2000::/3, counts; of 2001::/23 nothing does, Teredo included.
pub fn is_public(address: IpAddr) -> bool {
    match (address, embedded(address)) {
        (_, Some(inner)) => is_public(inner.into()),
        (IpAddr::V4(address), _) => !SPECIAL_V4.iter().any(|(network, bits)| in_v4(address, (*network).into(), *bits)),
        (IpAddr::V6(address), _) => {
            let [first, second, ..] = address.segments();
            let is_world = first & 0xe000 == 0x2000;
            // Protocol assignments, documentation (twice).
            let is_special =
                (first == 0x2001 && (second < 0x200 || second == 0xdb8)) || (first == 0x3fff && second < 0x1000);
            is_world && !is_special
        }
    }
}

/// The IPv4 address that an IPv6 address leads to, if it is of a form that has one.
pub fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    let [a, b, c, d, e, f, g, h] = address.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => Some(of(g, h)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

/// A network: an address and how many of its first bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpNetwork {
    /// Any address of it.
    pub address: IpAddr,
    /// At most 32 for IPv4, 128 for IPv6.
    pub bits: u32,
}

impl IpNetwork {
    /// The network of one address.
    pub fn of(address: IpAddr) -> Self {
        Self { address: address.to_canonical(), bits: if address.to_canonical().is_ipv4() { 32 } else { 128 } }
    }

    /// Whether an address is of the network. An IPv4 address is the same in IPv6's notation (`::ffff:1.2.3.4`).
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => in_v4(address, network, self.bits),
            (IpAddr::V6(network), IpAddr::V6(address)) => in_v6(address, network, self.bits),
            _ => false,
        }
    }
}

fn in_v4(address: Ipv4Addr, network: Ipv4Addr, bits: u32) -> bool {
    let difference = u32::from(address) ^ u32::from(network);
    difference.checked_shr(32 - bits).unwrap_or(0) == 0
}

fn in_v6(address: Ipv6Addr, network: Ipv6Addr, bits: u32) -> bool {
    let difference = u128::from(address) ^ u128::from(network);
    difference.checked_shr(128 - bits).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_world_reaches_is_public() {
        let check = |expect: bool, addresses: &[&str]| {
            for address in addresses {
                assert_eq!(is_public(address.parse().unwrap()), expect, "{address}");
            }
        };
        check(true, &["1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.0.0.1"]);
        check(
            true,
            &["128.0.0.1", "172.15.255.255", "172.32.0.0", "192.0.1.1", "198.17.0.1", "198.20.0.1", "223.1.1.1"],
        );
        check(true, &["2606:4700::1111", "2a00::1", "2001:4860:4860::8888", "2001:200::1", "::ffff:8.8.8.8"]);
        check(true, &["64:ff9b::808:808", "2002:808:808::1"]);
        check(
            false,
            &["0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1"],
        );
        check(false, &["127.255.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1"]);
        check(false, &["192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.9"]);
        check(false, &["224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "100.100.100.200", "168.63.129.16"]);
        check(
            false,
            &["::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "::8.8.8.8", "64:ff9b::7f00:1"],
        );
        check(
            false,
            &["64:ff9b:1::1", "100::1", "2001::1", "2001:0:808:808::1", "2001:20::1", "2001:1ff::1", "2001:db8::1"],
        );
        check(false, &["2002:7f00:1::", "2002:a00:1::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1"]);
        check(false, &["fec0::1", "ff02::1", "4000::1", "e000::1"]);
    }

    #[test]
    fn a_network_has_its_addresses_and_no_other() {
        let network = |address: &str, bits| IpNetwork { address: address.parse().unwrap(), bits };
        let holds = |network: IpNetwork, address: &str| network.contains(address.parse().unwrap());
        assert!(holds(network("10.0.0.0", 8), "10.9.9.9") && !holds(network("10.0.0.0", 8), "11.0.0.0"));
        assert!(holds(network("10.0.0.0", 8), "::ffff:10.0.0.1") && !holds(network("10.0.0.0", 8), "2002:a00:1::"));
        assert!(holds(network("0.0.0.0", 0), "255.1.1.1") && !holds(network("0.0.0.0", 0), "::1"));
        assert!(holds(network("1.2.3.4", 32), "1.2.3.4") && !holds(network("1.2.3.4", 32), "1.2.3.5"));
        assert!(holds(network("fd00::", 8), "fd12::1") && !holds(network("fd00::1", 128), "fd00::2"));
        assert!(holds(network("::", 0), "ffff::"));
    }
}
