//! What the operator lets tenants have the server ask, although it is not public.

use std::net::IpAddr;
use std::str::FromStr;

use super::{IpNetwork, Target};

/// Hosts, addresses and networks, each with a port or for all ports.
///
/// A host stands for that name as a tenant writes it, whatever it resolves to. A network stands for every host there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboundAllow(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    place: Place,
    /// Any, if there is none.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Host(String),
    Network(IpNetwork),
}

impl OutboundAllow {
    /// Whether this very name may be asked wherever it is. `host` is in lower case.
    pub fn names(&self, host: &str, port: u16) -> bool {
        self.0.iter().any(|entry| entry.is_for(port) && matches!(&entry.place, Place::Host(name) if name == host))
    }

    /// Whether this address may be asked, whatever led to it.
    pub fn holds(&self, address: IpAddr, port: u16) -> bool {
        let is_of = |place: &Place| matches!(place, Place::Network(network) if network.contains(address));
        self.0.iter().any(|entry| entry.is_for(port) && is_of(&entry.place))
    }
}

impl Entry {
    fn is_for(&self, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
    }
}

impl FromStr for OutboundAllow {
    /// What is wrong with which entry, as the end of a sentence.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let parse = |text: &str| {
            entry(text)
                .ok_or_else(|| format!("names '{text}', which is no host, address or network such as 10.0.0.0/8"))
        };
        entries.map(parse).collect::<Result<_, _>>().map(Self)
    }
}

fn entry(text: &str) -> Option<Entry> {
    if let Some((address, bits)) = text.split_once('/') {
        let address: IpAddr = address.parse().ok()?;
        let bits = bits.parse().ok().filter(|bits| *bits <= if address.is_ipv4() { 32 } else { 128 })?;
        return Some(Entry { place: Place::Network(IpNetwork { address, bits }), port: None });
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(Entry { place: Place::Network(IpNetwork::of(address)), port: None });
    }
    // 0 stands for none: it is nobody's port.
    let target = Target::of_host(text, 0).ok()?;
    let port = Some(target.port()).filter(|port| *port != 0);
    let place = match target.ip() {
        Some(address) => Place::Network(IpNetwork::of(address)),
        None => Place::Host(target.host().to_owned()),
    };
    Some(Entry { place, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_for_what_they_name() {
        let allow: OutboundAllow =
            "git.lan, LOGS.lan:601,s.lan:443, 10.0.0.0/8 ,192.168.1.1:80,[fd00::1]:443,fd01::/16,::1".parse().unwrap();
        assert!(allow.names("git.lan", 1) && allow.names("logs.lan", 601) && allow.names("s.lan", 443));
        assert!(!allow.names("logs.lan", 602) && !allow.names("x.git.lan", 1) && !allow.names("s.lan", 80));
        let holds = |address: &str, port| allow.holds(address.parse().unwrap(), port);
        assert!(holds("10.1.2.3", 5) && holds("::ffff:10.1.2.3", 5) && holds("192.168.1.1", 80) && holds("::1", 9));
        assert!(holds("fd00::1", 443) && holds("fd01::5", 1));
        assert!(!holds("192.168.1.1", 81) && !holds("fd00::1", 80) && !holds("127.0.0.1", 80) && !holds("11.0.0.1", 5));
        assert_eq!("".parse(), Ok(OutboundAllow::default()));
    }

    #[test]
    fn what_is_no_entry_is_named() {
        for wrong in
            ["10.0.0.0/33", "::/129", "a/8", "https://a", "a:0", "a:x", "a b", "0x7f.1", "*.lan", "u@a", "[::1"]
        {
            let error = format!("good.lan,{wrong}").parse::<OutboundAllow>().unwrap_err();
            assert!(error.contains(&format!("'{wrong}'")), "{wrong}: {error}");
        }
    }
}
