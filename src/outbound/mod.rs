//! Everything that the server asks or connects to because a tenant named it goes through here.
//!
//! An address is read once ([`Target`]), its host is looked up once, every address that it has is held against one policy, and
//! only those are connected to ([`Pinned`]). Whoever follows a redirect resolves the next [`Target`] in the same way. Proxies of
//! the environment are not used: they would look names up a second time, where nobody checks.

mod own;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::own::Own;
use crate::model::{OutboundAllow, Target, is_public};

/// How long the look-up of a host may take.
const LOOK_UP: Duration = Duration::from_secs(10);
/// How long a connection may take until it stands.
const CONNECT: Duration = Duration::from_secs(10);
/// Most addresses of a host that are tried.
const ADDRESSES_MAX: usize = 8;
/// The port of a registry that names none.
const REGISTRY_PORT: u16 = 443;

/// The policy, and how to get out under it. Cheap to clone; the default makes no exceptions.
#[derive(Debug, Clone, Default)]
pub struct Outbound(Arc<OutboundAllow>);

/// The host is not asked. One text for all reasons: it tells neither whether a name of the operator's network exists nor where
/// it leads, and nothing was connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "its host '{host}' is not found at a public address: name one that is, or ask the operator of this server to list it in \
     SLIPWAY_OUTBOUND_ALLOW"
)]
pub struct NotAsked {
    host: String,
}

/// A target whose addresses were checked.
#[derive(Debug, Clone)]
pub struct Pinned {
    target: Target,
    addresses: Vec<SocketAddr>,
}

impl Outbound {
    /// Only public addresses, none of this machine or its bridges, and what the operator allows beside them.
    pub fn new(allow: OutboundAllow) -> Self {
        Self(Arc::new(allow))
    }

    /// Looks the host up, for 10 s at most, and checks all its addresses. Good for one connection, or for a few in a row:
    /// a name may come to mean another machine. Cancel-safe.
    ///
    /// # Errors
    /// When it has no address, or one that may not be asked.
    pub async fn resolve(&self, target: &Target) -> Result<Pinned, NotAsked> {
        let refused = || NotAsked { host: target.host().to_owned() };
        let addresses = look_up(target).await;
        let own = Own::read().map_err(|error| {
            tracing::error!(%error, "this machine's addresses cannot be read, so nothing is asked for tenants");
            refused()
        })?;
        if addresses.is_empty() || !addresses.iter().all(|address| self.allows(target, *address, &own)) {
            return Err(refused());
        }
        let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, target.port())).collect();
        Ok(Pinned { target: target.clone(), addresses })
    }

    /// Whether the engine may be told to ask the registry of an image, `HOST[:PORT]`; the default registry is no tenant's choice.
    ///
    /// The engine looks the name up itself a moment later, so that this cannot be pinned. Cancel-safe.
    ///
    /// # Errors
    /// As [`Outbound::resolve`].
    pub async fn check_registry(&self, host: Option<&str>) -> Result<(), NotAsked> {
        let Some(host) = host else { return Ok(()) };
        let target = Target::of_host(host, REGISTRY_PORT).map_err(|_| NotAsked { host: host.to_owned() })?;
        self.resolve(&target).await.map(drop)
    }

    fn allows(&self, target: &Target, address: IpAddr, own: &Own) -> bool {
        let (host, port) = (target.host(), target.port());
        let is_exception = self.0.names(host, port) || self.0.holds(address, port);
        is_exception || (is_public(address) && !own.has(address))
    }
}

/// The addresses of a host; none when it is not found.
async fn look_up(target: &Target) -> Vec<IpAddr> {
    if let Some(address) = target.ip() {
        return vec![address];
    }
    let found = timeout(LOOK_UP, tokio::net::lookup_host((target.host(), target.port()))).await;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.into_iter().flatten().flatten().map(|address| address.ip()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

impl Pinned {
    /// What was asked for.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Where it is: at least one address, all of them checked, with the target's port.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// A connection to the first address that takes one, each within `limit`. Cancel-safe.
    ///
    /// # Errors
    /// What became of the last one, as the end of a sentence that names no address.
    pub async fn connect_tcp(&self, limit: Duration) -> Result<TcpStream, &'static str> {
        let mut trouble = "it cannot be reached";
        for address in self.addresses.iter().take(ADDRESSES_MAX) {
            match timeout(limit, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(_)) => trouble = "it cannot be reached",
                Err(_) => trouble = "it does not answer in time",
            }
        }
        Err(trouble)
    }

    /// A client for [`Target::url`] and nothing else: it knows no other name, follows no redirect, asks no proxy and gives up
    /// connecting after 10 s.
    pub fn http_client(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Arc::new(self.clone()))
            .no_proxy()
            .connect_timeout(CONNECT)
            .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
    }
}

impl Resolve for Pinned {
    fn resolve(&self, name: Name) -> Resolving {
        let is_it = name.as_str().eq_ignore_ascii_case(self.target.host());
        let found: Vec<_> = self.addresses.iter().copied().filter(|_| is_it).take(ADDRESSES_MAX).collect();
        Box::pin(std::future::ready(Ok(Box::new(found.into_iter()) as Addrs)))
    }
}

/// Why a request failed, as the end of a sentence: of a few kinds, none of which quotes what was answered.
pub fn failure(error: &reqwest::Error) -> &'static str {
    let mut causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    if causes.any(|cause| cause.to_string().contains("certificate")) {
        return "its certificate is not trusted, or of another name";
    }
    match error {
        _ if error.is_timeout() => "it does not answer in time",
        _ if error.is_connect() => "it cannot be reached",
        _ => "its answer breaks off or is not HTTP",
    }
}

#[cfg(test)]
mod tests;
