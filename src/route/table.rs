//! Host -> app -> upstreams: an immutable snapshot, swapped whole.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use http::HeaderMap;

use super::app::{RoutedApp, Settings};
use super::challenges::Challenges;
use super::respond::Refusal;
use super::sticky;
use super::upstream::{Claim, Listed, Upstream};
use crate::model::{AppId, AppName, DomainName, InstanceId, Routing};

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
    challenges: Challenges,
    hosts: ArcSwap<Hosts>,
    /// Which app has which domain; whoever holds it may write.
    writer: Mutex<HashMap<DomainName, AppName>>,
}

/// Who answers at which host. Names are in lower case.
#[derive(Debug, Clone, Default)]
struct Hosts {
    exact: HashMap<Arc<str>, Target>,
    /// What follows `*.` in the name.
    wildcards: HashMap<Arc<str>, Target>,
}

#[derive(Debug, Clone)]
enum Target {
    Platform,
    App(Arc<Route>),
}

/// One app and its upstreams.
#[derive(Debug)]
struct Route {
    app: Arc<RoutedApp>,
    upstreams: Vec<Arc<Upstream>>,
    turn: AtomicUsize,
}

/// Who answers a request.
#[derive(Debug)]
pub(crate) enum Found {
    /// The platform itself.
    Platform,
    /// An app, with an upstream that has been claimed if there is one. None is claimed for an app in maintenance.
    App(Arc<RoutedApp>, Option<Claim>),
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
        let hosts = ArcSwap::from_pointee(Hosts { exact: HashMap::from([platform]), ..Hosts::default() });
        let challenges = Challenges::default();
        Self { inner: Arc::new(Inner { domain, challenges, hosts, writer: Mutex::default() }) }
    }

    /// What authorities are shown, under whatever host they ask.
    pub fn challenges(&self) -> &Challenges {
        &self.inner.challenges
    }

    /// Makes the app known with no upstreams (503) unless it is known already.
    pub fn add_app(&self, name: &AppName) {
        self.add_apps([name]);
    }

    /// As [`Table::add_app`], for many at once: each switch copies the whole table.
    pub fn add_apps<'a>(&self, names: impl IntoIterator<Item = &'a AppName>) {
        self.change(|hosts, _| {
            for name in names {
                hosts.exact.entry(self.host(name)).or_insert_with(|| Target::App(Arc::new(Route::of(name))));
            }
        });
    }

    /// Forgets the app and its domains (404). Its upstreams go into draining.
    pub fn remove_app(&self, name: &AppName) {
        let removed = self.change(|hosts, owners| {
            owners.retain(|domain, owner| owner != name || !hosts.forget(domain));
            match hosts.exact.remove(&*self.host(name)) {
                Some(Target::App(route)) => route.upstreams.clone(),
                _ => Vec::new(),
            }
        });
        removed.iter().for_each(|upstream| upstream.drain());
    }

    /// One atomic switch: exactly these are the app's domains from now on. Those of another app become this one's.
    ///
    /// Names of the platform itself are passed over: its own hosts and those of the apps come first. So is the whole call
    /// for an app that is not known, which is one that was destroyed meanwhile.
    pub fn set_domains(&self, name: &AppName, domains: &[DomainName]) {
        self.change(|hosts, owners| {
            let Some(route) = hosts.route(&self.host(name)) else { return };
            owners.retain(|domain, owner| owner != name || domains.contains(domain) || !hosts.forget(domain));
            for domain in domains.iter().filter(|domain| !domain.is_of_platform(&self.inner.domain)) {
                hosts.attach(domain, &route);
                owners.insert(domain.clone(), name.clone());
            }
        });
    }

    /// One atomic switch: requests that begin from now on are treated by these settings. Apps that are not known, because they
    /// were destroyed meanwhile, are passed over.
    pub fn set_routing<'a>(&self, settings: impl IntoIterator<Item = (&'a AppName, AppId, &'a Routing)>) {
        let settings = settings.into_iter().map(|(name, id, routing)| (name, Some(id), Settings::from(routing)));
        self.set_settings(settings);
    }

    pub(crate) fn set_settings<'a>(&self, settings: impl IntoIterator<Item = (&'a AppName, Option<AppId>, Settings)>) {
        self.change(|hosts, owners| {
            let mut changed = HashMap::new();
            for (name, id, settings) in settings {
                let host = self.host(name);
                let Some(old) = hosts.route(&host) else { continue };
                let (app, turn) = (old.app.with(id, settings), AtomicUsize::new(old.turn.load(Ordering::Relaxed)));
                let route = Arc::new(Route { app, upstreams: old.upstreams.clone(), turn });
                hosts.exact.insert(host, Target::App(Arc::clone(&route)));
                changed.insert(name, route);
            }
            for (domain, owner) in owners.iter() {
                if let Some(route) = changed.get(owner) {
                    hosts.attach(domain, route);
                }
            }
        });
    }

    /// One atomic switch: exactly these upstreams serve the app from now on, which is made known if it was not.
    ///
    /// An upstream with the same instance and address keeps its counters and connections. Those left out go into
    /// draining before this returns: they accept no new request. They are returned, to be waited for.
    pub fn publish(&self, name: &AppName, upstreams: Vec<impl Into<Listed>>) -> Vec<Arc<Upstream>> {
        self.replace(name, |old| {
            let known = |listed: Listed| {
                let is_same =
                    |known: &&Arc<Upstream>| known.instance() == listed.instance && known.address() == listed.address;
                old.iter().find(is_same).cloned().unwrap_or_else(|| Upstream::new(listed))
            };
            upstreams.into_iter().map(Into::into).map(known).collect()
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
        let route = self.inner.hosts.load().route(&self.host(name));
        route.iter().flat_map(|route| &route.upstreams).map(|upstream| upstream.instance()).collect()
    }

    /// Who answers at `host` (lower case, no port, no final dot): the app of that very name or domain, else the one whose
    /// wildcard matches. An app's upstream comes claimed, and is none of `tried`; with sticky sessions it is the one that the
    /// cookie in `headers` names, if that may still be used.
    pub(crate) fn find(&self, host: &str, headers: &HeaderMap, tried: &[InstanceId]) -> Result<Found, Refusal> {
        let mut seen = None;
        loop {
            let hosts = self.inner.hosts.load();
            let route = match hosts.get(host) {
                None => return Err(Refusal::UnknownHost),
                Some(Target::Platform) => return Ok(Found::Platform),
                Some(Target::App(route)) => route,
            };
            let found = |claim| Ok(Found::App(Arc::clone(&route.app), claim));
            if route.app.settings.is_in_maintenance {
                return found(None);
            }
            if let Some(claim) = route.remembered(headers, tried) {
                return found(Some(claim));
            }
            match route.pick(tried) {
                Pick::Claimed(claim) => return found(Some(claim)),
                Pick::Exhausted => return found(None),
                // A snapshot is swapped before what it leaves out begins to drain, so the next look sees the newer one;
                // if it does not, someone has cut an upstream that is still listed.
                Pick::Stale if seen == Some(Arc::as_ptr(&hosts)) => return found(None),
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
        let left_out = self.change(|hosts, owners| {
            let old = hosts.route(&self.host(name)).unwrap_or_else(|| Arc::new(Route::of(name)));
            let upstreams = choose(&old.upstreams);
            let stays = |upstream: &Arc<Upstream>| upstreams.iter().any(|new| Arc::ptr_eq(new, upstream));
            let left_out: Vec<_> = old.upstreams.iter().filter(|upstream| !stays(upstream)).cloned().collect();
            let turn = AtomicUsize::new(old.turn.load(Ordering::Relaxed));
            let route = Arc::new(Route { app: Arc::clone(&old.app), upstreams, turn });
            hosts.exact.insert(self.host(name), Target::App(Arc::clone(&route)));
            owners.iter().filter(|(_, owner)| *owner == name).for_each(|(domain, _)| hosts.attach(domain, &route));
            left_out
        });
        left_out.iter().for_each(|upstream| upstream.drain());
        left_out
    }

    /// Makes the next snapshot from the present one.
    fn change<R>(&self, edit: impl FnOnce(&mut Hosts, &mut HashMap<DomainName, AppName>) -> R) -> R {
        let mut owners = self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hosts = Hosts::clone(&self.inner.hosts.load());
        let result = edit(&mut hosts, &mut owners);
        self.inner.hosts.store(Arc::new(hosts));
        result
    }
}

impl Hosts {
    /// Who answers at `host`; a name that is listed itself wins over a wildcard.
    fn get(&self, host: &str) -> Option<&Target> {
        self.exact.get(host).or_else(|| self.wildcards.get(host.split_once('.')?.1))
    }

    /// The app that answers at its own `host`.
    fn route(&self, host: &str) -> Option<Arc<Route>> {
        match self.exact.get(host) {
            Some(Target::App(route)) => Some(Arc::clone(route)),
            _ => None,
        }
    }

    fn attach(&mut self, domain: &DomainName, route: &Arc<Route>) {
        let (names, name) = self.place(domain);
        names.insert(Arc::from(name), Target::App(Arc::clone(route)));
    }

    /// Takes a domain away; says that it is gone.
    fn forget(&mut self, domain: &DomainName) -> bool {
        let (names, name) = self.place(domain);
        names.remove(name);
        true
    }

    fn place<'a>(&mut self, domain: &'a DomainName) -> (&mut HashMap<Arc<str>, Target>, &'a str) {
        match domain.below() {
            Some(below) => (&mut self.wildcards, below),
            None => (&mut self.exact, domain.as_str()),
        }
    }
}

impl Route {
    /// An app that nobody serves and that has chosen nothing.
    fn of(name: &AppName) -> Self {
        Self { app: RoutedApp::new(name.clone()), upstreams: Vec::new(), turn: AtomicUsize::default() }
    }

    /// Claims the upstream that answered the client before.
    fn remembered(&self, headers: &HeaderMap, tried: &[InstanceId]) -> Option<Claim> {
        if !self.app.settings.is_sticky {
            return None;
        }
        let wanted = |token| self.upstreams.iter().find(move |upstream| upstream.token() == token);
        let upstream = sticky::tokens(headers).find_map(wanted)?;
        if tried.contains(&upstream.instance()) { None } else { upstream.claim() }
    }

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
mod tests;
