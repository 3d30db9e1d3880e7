//! Who is shown which certificate.
//!
//! Anybody may upload a certificate for any name, so an upload alone must not reach a browser: a self-made one would break
//! another tenant's site. A certificate is shown for a name only where that name's *domain* is an app's that the owner of
//! the certificate may use, as its owner or a collaborator. The domain of a name is the one of that very name, or else the
//! wildcard that matches it, just as requests are routed. Administrators speak for the server: theirs are shown for every
//! name that they cover, the platform's own included.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::model::{AppId, CertificateName, DomainName, UserId};
use crate::route::{Servable, Shown};

/// A certificate and whose it is.
pub struct Holding {
    /// What is shown.
    pub servable: Arc<Servable>,
    /// What it is made out to.
    pub names: Vec<CertificateName>,
    /// Whose it is.
    pub owner: UserId,
    /// Whether the owner is an administrator.
    pub is_administrators: bool,
}

/// What the database says about domains.
pub struct Domains {
    /// Name -> app, without names of the platform.
    pub apps: HashMap<String, AppId>,
    /// Who may use which app, beside administrators.
    pub users: HashSet<(AppId, UserId)>,
}

impl Domains {
    /// From the rows; names of the platform at `domain` do not count, as they do not in the route table.
    pub fn new(
        domain: &str,
        apps: impl IntoIterator<Item = (DomainName, AppId)>,
        users: impl IntoIterator<Item = (AppId, UserId)>,
    ) -> Self {
        let apps = apps.into_iter().filter(|(name, _)| !name.is_of_platform(domain));
        Self { apps: apps.map(|(name, app)| (name.to_string(), app)).collect(), users: users.into_iter().collect() }
    }

    /// Whether that certificate may be shown to who asks for `name`, a host or a wildcard.
    fn allow(&self, holding: &Holding, name: &str) -> bool {
        let app = self.apps.get(name).or_else(|| self.apps.get(&wildcard(name)?));
        holding.is_administrators || app.is_some_and(|app| self.users.contains(&(*app, holding.owner)))
    }
}

/// The wildcard that matches a host; `None` for a wildcard.
fn wildcard(name: &str) -> Option<String> {
    let (first, parent) = name.split_once('.')?;
    (first != "*").then(|| format!("*.{parent}"))
}

/// What the router is to show. Of several certificates for one name the one with the most specific name comes first, then
/// the one that lasts longest.
pub fn choose(domains: &Domains, holdings: &[Holding]) -> Shown {
    let mut by_name: BTreeMap<&str, Vec<&Holding>> = BTreeMap::new();
    for holding in holdings {
        for name in &holding.names {
            by_name.entry(name.as_str()).or_default().push(holding);
        }
    }
    by_name.values_mut().for_each(|same| same.sort_by_key(|holding| std::cmp::Reverse(holding.servable.expires_at)));
    let candidates = |name: &str| -> Vec<Arc<Servable>> {
        let of = |name: &str| by_name.get(name).into_iter().flatten().copied();
        let all = of(name).chain(wildcard(name).iter().flat_map(|name| of(name)).collect::<Vec<_>>());
        all.filter(|holding| domains.allow(holding, name)).map(|holding| Arc::clone(&holding.servable)).collect()
    };
    let mut shown = Shown::default();
    for name in by_name.keys().copied().chain(domains.apps.keys().map(String::as_str)) {
        let candidates = candidates(name);
        match name.strip_prefix("*.") {
            Some(_) if candidates.is_empty() => {}
            Some(below) => {
                shown.wildcards.insert(below.to_owned(), candidates);
            }
            // A domain without a certificate is listed too: no wildcard of another tenant may answer for it.
            None if candidates.is_empty() && !domains.apps.contains_key(name) => {}
            None => {
                shown.exact.insert(name.to_owned(), candidates);
            }
        }
    }
    shown
}
