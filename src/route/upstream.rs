//! An upstream: the address of one instance, who is using it, and whether it may still be used.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::gate::Gate;
use super::pool::Pool;
use super::sticky::Token;
use crate::model::InstanceId;

/// An instance to be listed in the table.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Which one.
    pub instance: InstanceId,
    /// Where it answers.
    pub address: SocketAddr,
    /// What people call it: `web.1`.
    pub label: String,
}

/// One that nobody has a name for.
impl From<(InstanceId, SocketAddr)> for Listed {
    fn from((instance, address): (InstanceId, SocketAddr)) -> Self {
        Self { instance, address, label: instance.to_string() }
    }
}

/// One instance that serves, or lately served, an app.
///
/// It is live while the [`Table`](super::Table) lists it. Left out of the table it is *draining*: requests that had
/// claimed it go on to their end, no other gets in. Dropping the last handle closes its connections.
#[derive(Debug)]
pub struct Upstream {
    instance: InstanceId,
    address: SocketAddr,
    label: Arc<str>,
    token: Token,
    requests: Gate,
    upgraded: AtomicUsize,
    pool: Pool,
}

impl Upstream {
    pub(crate) fn new(listed: Listed) -> Arc<Self> {
        let Listed { instance, address, label } = listed;
        let label = Arc::from(label);
        let (requests, upgraded, token) = (Gate::default(), AtomicUsize::new(0), Token::of(instance));
        Arc::new(Self { instance, address, label, token, requests, upgraded, pool: Pool::new(address) })
    }

    /// What people call it: `web.1`.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// What stands for it in a cookie.
    pub(crate) fn token(&self) -> Token {
        self.token
    }

    /// Which instance it is.
    pub fn instance(&self) -> InstanceId {
        self.instance
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that have claimed it and whose response has not been handed over to the client in full.
    pub fn in_flight(&self) -> usize {
        self.requests.inside()
    }

    /// Open connections that have left HTTP (websockets). They are not [`Self::in_flight`].
    pub fn upgraded(&self) -> usize {
        self.upgraded.load(Ordering::Acquire)
    }

    /// Waits until the upstream is draining and no request is in flight; no request will ever be in flight again then.
    ///
    /// Upgraded connections are not waited for: see [`Self::upgraded`] and [`Self::cut`]. Has no deadline of its own,
    /// and does not end while the table still lists the upstream. Cancel-safe.
    pub async fn drained(&self) {
        self.requests.emptied().await;
    }

    /// Ends what is still open: requests in flight break off (502, or a response cut short), upgraded connections
    /// close. Nothing can be opened afterwards. Does not wait: a client that stopped reading keeps its place in
    /// [`Self::in_flight`] until it goes. Idempotent.
    pub fn cut(&self) {
        self.requests.close();
        self.pool.cut();
    }

    /// Lets no new request in and closes idle connections.
    pub(crate) fn drain(&self) {
        self.requests.close();
        self.pool.drain();
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Takes the right to send one request, unless the upstream is draining.
    pub(crate) fn claim(self: &Arc<Self>) -> Option<Claim> {
        self.requests.enter().then(|| Claim { upstream: Arc::clone(self) })
    }
}

/// The right to send one request to an upstream; it counts as in flight until this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    upstream: Arc<Upstream>,
}

impl Claim {
    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Counts as an upgraded connection from now on, and no more as a request.
    pub(crate) fn into_upgraded(self) -> UpgradedClaim {
        self.upstream.upgraded.fetch_add(1, Ordering::AcqRel);
        UpgradedClaim { upstream: Arc::clone(&self.upstream) }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.upstream.requests.leave();
    }
}

/// An open upgraded connection.
#[derive(Debug)]
pub(crate) struct UpgradedClaim {
    upstream: Arc<Upstream>,
}

impl UpgradedClaim {
    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }
}

impl Drop for UpgradedClaim {
    fn drop(&mut self) {
        self.upstream.upgraded.fetch_sub(1, Ordering::AcqRel);
    }
}
