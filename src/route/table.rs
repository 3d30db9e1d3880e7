//! Host -> app -> upstreams: an immutable snapshot, swapped whole.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::respond::Refusal;
use super::upstream::{Claim, Upstream};
use crate::model::{AppName, InstanceId};

/// The label of the platform's own host, `slipway.DOMAIN`. No app can have this name.
const PLATFORM_LABEL: &str = "slipway";

/// Which upstreams serve which app, and under which host. Cheap to clone; clones are the same table.
///
/// Readers never wait: each request looks at the snapshot of that moment. Writers take turns.
#[derive(Debug, Clone)]
pub struct Table {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    domain: String,
    hosts: ArcSwap<Hosts>,
    writer: Mutex<()>,
}

/// Host name in lower case -> who answers there.
type Hosts = HashMap<Arc<str>, Target>;

#[derive(Debug, Clone)]
enum Target {
    Platform,
    App(Arc<Route>),
}

/// The upstreams of one app.
#[derive(Debug, Default)]
struct Route {
    upstreams: Vec<Arc<Upstream>>,
    turn: AtomicUsize,
}

/// Who answers a request.
#[derive(Debug)]
pub(crate) enum Found {
    /// The platform itself.
    Platform,
    /// An app, by the upstream that has been claimed.
    App(Claim),
}

enum Pick {
    Claimed(Claim),
    /// Every upstream was tried already, or there is none.
    Exhausted,
    /// An upstream that would do is draining, so a newer snapshot exists.
    Stale,
}

impl Table {
    /// An empty table; apps answer at `NAME.domain`, the platform at `slipway.domain`.
    pub fn new(domain: &str) -> Self {
        let domain = domain.trim_matches('.').to_ascii_lowercase();
        let platform = (Arc::from(format!("{PLATFORM_LABEL}.{domain}")), Target::Platform);
        let hosts = ArcSwap::from_pointee(Hosts::from([platform]));
        Self { inner: Arc::new(Inner { domain, hosts, writer: Mutex::default() }) }
    }

    /// Makes the app known with no upstreams (503) unless it is known already.
    pub fn add_app(&self, name: &AppName) {
        self.change(|hosts| {
            hosts.entry(self.host(name)).or_insert_with(|| Target::App(Arc::default()));
        });
    }

    /// Forgets the app (404). Its upstreams go into draining.
    pub fn remove_app(&self, name: &AppName) {
        let removed = self.change(|hosts| match hosts.remove(&*self.host(name)) {
            Some(Target::App(route)) => route.upstreams.clone(),
            _ => Vec::new(),
        });
        removed.iter().for_each(|upstream| upstream.drain());
    }

    /// One atomic switch: exactly these upstreams serve the app from now on, which is made known if it was not.
    ///
    /// An upstream with the same instance and address keeps its counters and connections. Those left out go into
    /// draining before this returns: they accept no new request. They are returned, to be waited for.
    pub fn publish(&self, name: &AppName, upstreams: Vec<(InstanceId, SocketAddr)>) -> Vec<Arc<Upstream>> {
        self.replace(name, |old| {
            let known = |&(instance, address): &(InstanceId, SocketAddr)| {
                let same = old.iter().find(|known| known.instance() == instance && known.address() == address);
                same.cloned().unwrap_or_else(|| Upstream::new(instance, address))
            };
            upstreams.iter().map(known).collect()
        })
    }

    /// Takes one instance out at once, as when it crashed. `None` when it was not there.
    pub fn retire(&self, name: &AppName, instance: InstanceId) -> Option<Arc<Upstream>> {
        let others = |old: &[Arc<Upstream>]| old.iter().filter(|known| known.instance() != instance).cloned().collect();
        if !self.upstreams(name).contains(&instance) {
            return None;
        }
        self.replace(name, others).pop()
    }

    /// The instances that serve the app; none for an app that is not known.
    pub fn upstreams(&self, name: &AppName) -> Vec<InstanceId> {
        match self.inner.hosts.load().get(&*self.host(name)) {
            Some(Target::App(route)) => route.upstreams.iter().map(|upstream| upstream.instance()).collect(),
            _ => Vec::new(),
        }
    }

    /// Who answers at `host` (lower case, no port, no final dot). An app's upstream comes claimed, and is none of
    /// `tried`.
    pub(crate) fn find(&self, host: &str, tried: &[InstanceId]) -> Result<Found, Refusal> {
        let mut seen = None;
        loop {
            let hosts = self.inner.hosts.load();
            let route = match hosts.get(host) {
                None => return Err(Refusal::UnknownHost),
                Some(Target::Platform) => return Ok(Found::Platform),
                Some(Target::App(route)) => route,
            };
            match route.pick(tried) {
                Pick::Claimed(claim) => return Ok(Found::App(claim)),
                Pick::Exhausted => return Err(Refusal::NoUpstream),
                // A snapshot is swapped before what it leaves out begins to drain, so the next look sees the newer one;
                // if it does not, someone has cut an upstream that is still listed.
                Pick::Stale if seen == Some(Arc::as_ptr(&hosts)) => return Err(Refusal::NoUpstream),
                Pick::Stale => seen = Some(Arc::as_ptr(&hosts)),
            }
        }
    }

    fn host(&self, name: &AppName) -> Arc<str> {
        Arc::from(format!("{name}.{}", self.inner.domain))
    }

    /// Swaps an app's upstreams, then drains those left out.
    fn replace(
        &self,
        name: &AppName,
        choose: impl FnOnce(&[Arc<Upstream>]) -> Vec<Arc<Upstream>>,
    ) -> Vec<Arc<Upstream>> {
        let left_out = self.change(|hosts| {
            let old = match hosts.get(&*self.host(name)) {
                Some(Target::App(route)) => Arc::clone(route),
                _ => Arc::default(),
            };
            let upstreams = choose(&old.upstreams);
            let stays = |upstream: &Arc<Upstream>| upstreams.iter().any(|new| Arc::ptr_eq(new, upstream));
            let left_out: Vec<_> = old.upstreams.iter().filter(|upstream| !stays(upstream)).cloned().collect();
            let turn = AtomicUsize::new(old.turn.load(Ordering::Relaxed));
            hosts.insert(self.host(name), Target::App(Arc::new(Route { upstreams, turn })));
            left_out
        });
        left_out.iter().for_each(|upstream| upstream.drain());
        left_out
    }

    /// Makes the next snapshot from the present one.
    fn change<R>(&self, edit: impl FnOnce(&mut Hosts) -> R) -> R {
        let _turn = self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hosts = Hosts::clone(&self.inner.hosts.load());
        let result = edit(&mut hosts);
        self.inner.hosts.store(Arc::new(hosts));
        result
    }
}

impl Route {
    /// Claims the less busy of the two upstreams whose turn it is; any other that is left if those will not do.
    ///
    /// With equal load this is round robin. With one slow upstream the comparison keeps a queue from growing before
    /// it, which round robin alone would do, and it looks at two counters instead of all.
    fn pick(&self, tried: &[InstanceId]) -> Pick {
        let count = self.upstreams.len();
        let at = |index: usize| &self.upstreams[index % count];
        let first = match count {
            0 | 1 => 0,
            _ => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed) % count;
                turn + usize::from(at(turn + 1).in_flight() < at(turn).in_flight())
            }
        };
        let mut is_stale = false;
        for upstream in (first..first + count).map(at).filter(|upstream| !tried.contains(&upstream.instance())) {
            match upstream.claim() {
                Some(claim) => return Pick::Claimed(claim),
                None => is_stale = true,
            }
        }
        if is_stale { Pick::Stale } else { Pick::Exhausted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(table: &Table) -> Result<Claim, Refusal> {
        match table.find("app.localhost", &[])? {
            Found::App(claim) => Ok(claim),
            Found::Platform => panic!("that is another host"),
        }
    }

    fn app() -> AppName {
        "app".parse().expect("an app name")
    }

    fn address() -> SocketAddr {
        "127.0.0.1:1".parse().expect("an address")
    }

    #[test]
    fn a_publish_keeps_what_stays_and_closes_what_is_left_out() {
        let (table, stays, goes) = (Table::new("localhost"), InstanceId::new(), InstanceId::new());
        table.publish(&app(), vec![(stays, address()), (goes, address())]);
        let held = [claim(&table).expect("a claim"), claim(&table).expect("a claim")];
        let left_out = table.publish(&app(), vec![(InstanceId::new(), address()), (stays, address())]);
        assert_eq!(left_out.iter().map(|old| old.instance()).collect::<Vec<_>>(), [goes]);
        assert!(left_out[0].claim().is_none());
        let kept = held.iter().find(|claim| claim.upstream().instance() == stays).expect("each was claimed once");
        assert_eq!(kept.upstream().in_flight(), 1);
        assert!(kept.upstream().claim().is_some());
        let moved = table.publish(&app(), vec![(stays, "127.0.0.1:2".parse().expect("an address"))]);
        assert_eq!(moved.len(), 2, "the same instance at another address is another upstream");
    }

    #[test]
    fn an_upstream_that_was_cut_while_listed_is_passed_over() {
        let table = Table::new("localhost");
        table.publish(&app(), vec![(InstanceId::new(), address()), (InstanceId::new(), address())]);
        let first = Arc::clone(claim(&table).expect("a claim").upstream());
        first.cut();
        for _ in 0..4 {
            assert_ne!(claim(&table).expect("the other one").upstream().instance(), first.instance());
        }
        claim(&table).expect("the other one").upstream().cut();
        assert_eq!(claim(&table).expect_err("none is left"), Refusal::NoUpstream);
    }

    /// Requests claim while the app is switched over and over; what a switch left out stays empty once it was drained.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_claim_lands_on_an_upstream_that_was_drained() {
        let table = Table::new("localhost");
        table.publish(&app(), vec![(InstanceId::new(), address())]);
        let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (table, is_over) = (table.clone(), Arc::clone(&is_over));
                std::thread::spawn(move || {
                    while !is_over.load(Ordering::SeqCst) {
                        drop(claim(&table).expect("there is always an upstream"));
                    }
                })
            })
            .collect();
        for _ in 0..500 {
            let left_out = table.publish(&app(), vec![(InstanceId::new(), address())]);
            let drained = tokio::time::timeout(std::time::Duration::from_secs(10), left_out[0].drained());
            drained.await.expect("it drains");
            assert_eq!(left_out[0].in_flight(), 0);
            assert!(left_out[0].claim().is_none());
        }
        is_over.store(true, Ordering::SeqCst);
        for thread in threads {
            thread.join().expect("no claim failed");
        }
    }
}
