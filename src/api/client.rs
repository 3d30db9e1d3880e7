//! Where a request comes from.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;

/// The address of whoever sent the request; `None` when nobody knows.
///
/// A request on the API's own listener comes from its peer. From this machine itself, and through the router, it is
/// forwarded: then the last entry of `X-Forwarded-For` tells, which whoever forwarded it has written.
pub(super) struct ClientAddress(pub Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        Ok(Self(address(peer, &parts.headers)))
    }
}

/// Whether a request came over the API's own address, from this machine or its own network, and was not forwarded by a proxy that
/// may stand before it.
///
/// Requests that the router hands on have no peer here: only the API's own listener notes one.
pub(super) struct IsLocal(pub bool);

impl<S: Send + Sync> FromRequestParts<S> for IsLocal {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
        let is_near = match peer {
            Some(IpAddr::V4(peer)) => peer.is_loopback() || peer.is_private() || peer.is_link_local(),
            Some(IpAddr::V6(peer)) => peer.is_loopback() || peer.is_unique_local() || peer.is_unicast_link_local(),
            None => false,
        };
        let is_forwarded = ["x-forwarded-for", "forwarded", "via"].iter().any(|name| parts.headers.contains_key(*name));
        Ok(Self(is_near && !is_forwarded))
    }
}

fn address(peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
    match peer {
        Some(peer) if !peer.to_canonical().is_loopback() => Some(peer),
        peer => forwarded_for(headers).or(peer),
    }
}

fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    let value = headers.get_all("x-forwarded-for").iter().next_back()?;
    value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_who_forward_are_believed() {
        let check = |peer: Option<&str>, forwarded: &[&str], expect: Option<&str>| {
            let headers = forwarded.iter().map(|v| ("x-forwarded-for".parse().unwrap(), v.parse().unwrap())).collect();
            let parse = |text: &str| text.parse().unwrap();
            assert_eq!(address(peer.map(parse), &headers), expect.map(parse), "{peer:?} {forwarded:?}");
        };
        check(Some("192.0.2.1"), &[], Some("192.0.2.1"));
        check(Some("192.0.2.1"), &["10.0.0.1"], Some("192.0.2.1"));
        check(Some("127.0.0.1"), &[], Some("127.0.0.1"));
        check(Some("127.0.0.1"), &["10.9.9.9, 10.0.0.1"], Some("10.0.0.1"));
        check(Some("::1"), &["10.0.0.1", "10.0.0.2"], Some("10.0.0.2"));
        check(Some("127.0.0.1"), &["nonsense"], Some("127.0.0.1"));
        check(None, &["10.0.0.1"], Some("10.0.0.1"));
        check(None, &[], None);
    }
}
