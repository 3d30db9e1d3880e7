//! What is resolved, what is refused, and that nothing but what was checked is connected to.

use std::net::Ipv6Addr;

use proptest::prelude::*;
use tokio::net::TcpListener;

use super::*;

const SCHEMES: [(&str, u16); 2] = [("https", 443), ("http", 80)];

fn target(text: &str) -> Target {
    Target::parse(text, &SCHEMES).unwrap()
}

fn allowing(list: &str) -> Outbound {
    Outbound::new(list.parse().unwrap())
}

#[tokio::test]
async fn only_public_addresses_and_exceptions_are_asked() {
    let plain = Outbound::default();
    for host in ["127.0.0.1", "[::1]", "localhost", "0.0.0.0", "10.0.0.1", "169.254.169.254", "[::ffff:127.0.0.1]"] {
        let target = target(&format!("http://{host}:81/"));
        let why = plain.resolve(&target).await.unwrap_err();
        assert!(why.to_string().contains("SLIPWAY_OUTBOUND_ALLOW"), "{host}: {why}");
    }
    assert_eq!(plain.resolve(&target("https://8.8.8.8/")).await.unwrap().addresses(), ["8.8.8.8:443".parse().unwrap()]);
    // One text, whether the name exists or not.
    let told = |error: NotAsked, host: &str| error.to_string().replace(host, "HOST");
    let (found, unknown) = (target("http://localhost/"), target("http://no-such-host.invalid/"));
    assert_eq!(
        told(plain.resolve(&found).await.unwrap_err(), "localhost"),
        told(plain.resolve(&unknown).await.unwrap_err(), "no-such-host.invalid")
    );
    assert!(allowing("localhost").resolve(&found).await.is_ok());
    assert!(allowing("localhost:81").resolve(&found).await.is_err());
    assert!(allowing("localhost").resolve(&target("http://127.0.0.1/")).await.is_err());
    assert!(allowing("127.0.0.1:80").resolve(&target("http://127.0.0.1/")).await.is_ok());
    assert!(allowing("127.0.0.1:80").resolve(&target("http://127.0.0.1:81/")).await.is_err());
}

#[tokio::test]
async fn registries_are_held_to_the_same() {
    let plain = Outbound::default();
    assert!(plain.check_registry(None).await.is_ok());
    assert!(plain.check_registry(Some("8.8.8.8:5000")).await.is_ok());
    for host in ["127.0.0.1:5000", "localhost", "localhost:5000", "10.0.0.1", "2130706433:5000", "0x7f.1", "127.1"] {
        assert!(plain.check_registry(Some(host)).await.is_err(), "{host}");
    }
    assert!(allowing("127.0.0.1:5000").check_registry(Some("127.0.0.1:5000")).await.is_ok());
}

#[tokio::test]
async fn a_client_reaches_what_was_checked_and_no_other_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = target(&format!("http://only-here.invalid:{port}/"));
    let pinned = Pinned { target: asked.clone(), addresses: vec![listener.local_addr().unwrap()] };
    let client = pinned.http_client().build().unwrap();
    let asking = client.get(asked.url().clone()).send();
    tokio::select! {
        accepted = listener.accept() => drop(accepted.unwrap()),
        answer = asking => panic!("{answer:?}"),
    }
    let error = client.get(format!("http://localhost:{port}/")).send().await.unwrap_err();
    assert_eq!(failure(&error), "it cannot be reached");
    pinned.connect_tcp(Duration::from_secs(5)).await.unwrap();
    drop(listener);
    assert_eq!(pinned.connect_tcp(Duration::from_secs(5)).await.unwrap_err(), "it cannot be reached");
}

proptest! {
    /// Whatever a literal looks like, what is pinned is what the policy allows, and is the literal.
    #[test]
    fn what_is_pinned_is_allowed(bits in any::<u128>(), is_v4 in any::<bool>(), is_mapped in any::<bool>()) {
        let v4 = std::net::Ipv4Addr::from(bits as u32);
        let address: IpAddr = match (is_v4, is_mapped) {
            (true, true) => v4.to_ipv6_mapped().into(),
            (true, false) => v4.into(),
            _ => Ipv6Addr::from(bits).into(),
        };
        let text = if address.is_ipv4() { format!("http://{address}/") } else { format!("http://[{address}]/") };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        if let Ok(pinned) = runtime.block_on(Outbound::default().resolve(&target(&text))) {
            prop_assert!(pinned.addresses().iter().all(|it| it.ip() == address && is_public(it.ip())));
        } else {
            prop_assert!(!is_public(address) || Own::read().unwrap().has(address));
        }
    }
}
