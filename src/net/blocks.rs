//! Blocks of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, RwLock};

/// A block of IPv4 addresses: its first one and the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// The first address; bits behind the prefix do not count.
    pub start: u32,
    /// Length of the prefix, at most 32.
    pub prefix: u32,
}

impl Block {
    /// Reads `10.0.0.0/8`.
    pub fn parse(cidr: &str) -> Option<Self> {
        let (address, prefix) = cidr.split_once('/')?;
        let block = Self { start: address.parse::<Ipv4Addr>().ok()?.into(), prefix: prefix.parse().ok()? };
        (block.prefix <= 32).then_some(block)
    }

    /// Whether the two have an address in common.
    pub fn overlaps(self, other: Self) -> bool {
        let mask = u32::MAX.checked_shl(32 - self.prefix.min(other.prefix)).unwrap_or(0);
        self.start & mask == other.start & mask
    }

    /// Whether the address lies in it. An IPv4 address in IPv6 form counts as what it is.
    pub fn contains(self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => self.overlaps(Self { start: address.into(), prefix: 32 }),
            IpAddr::V6(_) => false,
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.start), self.prefix)
    }
}

/// A set of blocks that may change. Clones are the same set.
#[derive(Debug, Clone, Default)]
pub struct Blocks(Arc<RwLock<Vec<Block>>>);

impl Blocks {
    /// Takes these in place of what was there.
    pub fn replace(&self, blocks: Vec<Block>) {
        *self.0.write().expect("nothing panics while it is held") = blocks;
    }

    /// Whether one of them has the address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.read().expect("nothing panics while it is held").iter().any(|block| block.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_overlap_when_one_holds_the_other() {
        let block = |cidr: &str| Block::parse(cidr).expect(cidr);
        assert!(block("10.208.0.0/12").overlaps(block("10.210.3.0/24")));
        assert!(block("10.210.3.0/24").overlaps(block("10.0.0.0/8")));
        assert!(block("0.0.0.0/0").overlaps(block("10.210.3.0/24")));
        assert!(!block("10.210.3.0/24").overlaps(block("10.210.4.0/24")));
        assert_eq!(Block::parse("fd00::/64"), None);
        assert_eq!(Block::parse("10.0.0.0/33"), None);
    }

    #[test]
    fn an_address_is_looked_for_in_either_form() {
        let blocks = Blocks::default();
        let check = |address: &str, expect: bool| {
            assert_eq!(blocks.contains(address.parse().unwrap()), expect, "{address}");
        };
        check("10.224.0.2", false);
        blocks.replace(vec![Block::parse("172.17.0.0/16").unwrap(), Block::parse("10.224.0.0/16").unwrap()]);
        check("10.224.0.2", true);
        check("::ffff:10.224.0.2", true);
        check("10.225.0.2", false);
        check("::1", false);
    }
}
