//! Which TCP ports the processes of a container listen on, read from the kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Docker;
use crate::engine::{EngineError, ListeningPort};

/// The kernel's number of the state LISTEN.
const LISTEN: &str = "0A";

/// The engine's own name server, which listens inside every container on a network of ours.
const ENGINE_DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

impl Docker {
    pub(super) async fn ports(&self, container: &str) -> Result<Vec<ListeningPort>, EngineError> {
        let found = self.raw_inspect(container).await?;
        let id = found.id.unwrap_or_default();
        let pid = found.state.and_then(|state| state.pid).unwrap_or_default();
        if self.socket.is_none() || pid == 0 {
            return Ok(Vec::new());
        }
        // The number is only good where the engine shares our process table.
        let groups = tokio::fs::read_to_string(format!("/proc/{pid}/cgroup")).await.unwrap_or_default();
        if !groups.contains(&id) {
            return Ok(Vec::new());
        }
        let mut ports = Vec::new();
        for table in ["tcp", "tcp6"] {
            // Gone when the container has just ended; no tcp6 where IPv6 is off.
            let table = tokio::fs::read_to_string(format!("/proc/{pid}/net/{table}")).await.unwrap_or_default();
            ports.extend(listening(&table));
        }
        ports.sort_unstable();
        ports.dedup();
        Ok(ports)
    }
}

/// The listening sockets of a `/proc/net/tcp` or `tcp6` table.
fn listening(table: &str) -> impl Iterator<Item = ListeningPort> {
    table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (local, state) = (fields.nth(1)?, fields.nth(1)?);
        let address = (state == LISTEN).then(|| socket_address(local)).flatten()?;
        (address.ip() != ENGINE_DNS).then_some(ListeningPort(address))
    })
}

/// `0100007F:1F90` is 127.0.0.1:8080: the address in words of the machine's byte order, the port in plain hexadecimal.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words = address.as_bytes().chunks(8).map(|word| {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        Some(word.to_ne_bytes())
    });
    let octets = words.collect::<Option<Vec<_>>>()?.concat();
    let ip = match octets.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(octets).ok()?),
        16 => Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    fn check(table: &str, expect: &[&str]) {
        let header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n";
        let found = listening(&format!("{header}{table}")).map(|port| port.0.to_string()).collect::<Vec<_>>();
        assert_eq!(found, expect);
    }

    #[test]
    fn listening_sockets_are_read() {
        check(
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n   \
                1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1\n   \
                2: 0B00007F:A0B1 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3 1\n   \
                3: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4 1\n",
            &["127.0.0.1:8080", "0.0.0.0:80"],
        );
    }

    #[test]
    fn version_six_addresses_are_four_words() {
        let rest = "00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1";
        check(&format!("   0: 00000000000000000000000000000000:1388 {rest}\n"), &["[::]:5000"]);
        check(&format!("   0: 00000000000000000000000001000000:1388 {rest}\n"), &["[::1]:5000"]);
        check(&format!("   0: B80D0120000000000000000067452301:1388 {rest}\n"), &["[2001:db8::123:4567]:5000"]);
        check(&format!("   0: 0000000000000000FFFF00000100007F:1388 {rest}\n"), &["127.0.0.1:5000"]);
    }

    #[test]
    fn what_is_no_table_gives_nothing() {
        check("", &[]);
        check(
            "garbage\n   0: zz:1F90 00000000:0000 0A\n   0: 0100007F 00000000:0000 0A\n   0: \u{e9}100007F:1F90 0:0 0A\n",
            &[],
        );
    }
}
