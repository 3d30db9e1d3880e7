//! Certificates that come by themselves: for each host name of an app that no upload covers, one is asked of an authority by
//! ACME (RFC 8555), kept, and renewed ahead of its end.

mod client;
mod order;
mod owners;
mod schedule;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use instant_acme::Account;
use tokio::sync::{Mutex, Notify};
use tokio::time::{sleep, timeout};

use super::super::{AppHandle, Error, Listing, Platform};
use super::pem;
use crate::model::{AppId, AutomaticCertificate, CertificateName, ChallengeChoice, Timestamp, UserId};
use crate::route::{Challenges, Servable, Shown};
use crate::store::certificates::Material;
use crate::store::{Page, StoreError, apps, automatic_certificates, domains};
use client::Wait;
use order::{AcmeError, Issued};
use owners::Owners;

/// Names that are asked for at the same time.
const AT_ONCE: usize = 4;
/// Between two looks at what is due, when nothing else wakes.
const PERIOD: Duration = Duration::from_secs(60);
/// The first rest after the authority itself could not be asked; doubled each time, up to the longest.
const FIRST_REST: Duration = Duration::from_secs(30);
const LONGEST_REST: Duration = Duration::from_secs(3600);
/// An upload covers a name until so long before its end; then one is asked for, to be there in time.
const UPLOAD_MARGIN: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long this machine's name servers may take.
const LOOKUP_LIMIT: Duration = Duration::from_secs(10);
/// What begins the lines in the logs of apps.
const COMPONENT: &str = "certificates";

/// Of whom certificates are asked, and how.
#[derive(Debug, Clone)]
pub struct AcmeSettings {
    /// URL of the authority's directory.
    pub directory: String,
    /// Where the authority writes to when something is wrong.
    pub email: String,
    /// How it is shown that a name leads here.
    pub challenge: ChallengeChoice,
    /// Whether a new name is looked up before it is asked for: one that leads nowhere only uses up what the authority allows.
    pub looks_up: bool,
}

/// What is known of automatic certificates in this process.
pub struct AutomaticCertificates {
    /// `None` where nobody is asked; what was got earlier is shown all the same.
    settings: Option<AcmeSettings>,
    challenges: Challenges,
    /// Wakes who asks: a name may have come.
    due: Notify,
    /// The account, once it was used in this life of the server.
    account: Mutex<Option<Account>>,
    /// How long the authority wants to be left alone.
    wait: Wait,
    /// Who had what asked for.
    owners: Owners,
    /// What was read from the database.
    loaded: Mutex<HashMap<CertificateName, Loaded>>,
}

/// What was read from the database.
struct Loaded {
    /// When it was written.
    updated_at: Timestamp,
    /// Nothing for one that cannot be used.
    servable: Option<Arc<Servable>>,
}

impl AutomaticCertificates {
    /// Asks as `settings` say, if there are any; answers the authority by `challenges`.
    pub fn new(settings: Option<AcmeSettings>, challenges: Challenges) -> Self {
        let (due, account, wait, loaded) = (Notify::new(), Mutex::default(), Wait::default(), Mutex::default());
        Self { settings, challenges, due, account, wait, owners: Owners::default(), loaded }
    }
}

impl Platform {
    /// Asks for what is missing or due, until the server stops; then what is under way is dropped, and asked for by the next
    /// start.
    pub async fn keep_certificates(self) {
        let Some(settings) = self.0.automatic.settings.clone() else { return self.0.stop.cancelled().await };
        let mut rest = FIRST_REST;
        loop {
            let pass = tokio::select! {
                () = self.0.stop.cancelled() => return,
                pass = self.ask_for_due(&settings) => pass,
            };
            let Err(error) = pass else {
                rest = FIRST_REST;
                tokio::select! {
                    () = self.0.stop.cancelled() => return,
                    () = sleep(PERIOD) => {}
                    () = self.0.automatic.due.notified() => {}
                }
                continue;
            };
            let wait = rest.max(self.0.automatic.wait.left().unwrap_or_default());
            rest = (rest * 2).min(LONGEST_REST);
            let directory = &settings.directory;
            tracing::warn!(directory, %error, wait_s = wait.as_secs(), "cannot ask for certificates");
            // New names wait, too: whoever is asked has just said no to all of them.
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = sleep(wait) => {}
            }
        }
    }

    /// A host name has come, or lost the certificate that covered it.
    pub(in crate::platform) fn certificates_may_be_due(&self) {
        self.0.automatic.due.notify_one();
    }

    /// How it stands with the automatic certificates of an app's host names, by name. Empty where no authority is set.
    pub async fn automatic_certificates(
        &self,
        handle: &AppHandle,
        page: Page,
    ) -> Result<Listing<AutomaticCertificate>, Error> {
        let wanted = self.host_names().await?;
        let known = automatic_certificates::all(self.0.store.pool()).await?;
        let is_apps = |name: &CertificateName| wanted.get(name).is_some_and(|of| of.app() == Some(handle.app().id));
        let mut found: Vec<_> = known.into_iter().filter(|known| is_apps(&known.name)).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let total = i64::try_from(found.len()).unwrap_or(i64::MAX);
        let window = |number: i64| usize::try_from(number).unwrap_or(0);
        let entries = found.into_iter().skip(window(page.offset)).take(window(page.limit)).collect();
        Ok(Listing { total, entries })
    }

    /// One look at what is due. Failures of single names are on record; an error is about all of them.
    async fn ask_for_due(&self, settings: &AcmeSettings) -> Result<(), AcmeError> {
        let (pool, now) = (self.0.store.pool(), Timestamp::now());
        let names = self.host_names().await.map_err(AcmeError::platform)?;
        let shown = self.uploads_shown().await.map_err(AcmeError::platform)?;
        let wanted: BTreeMap<_, _> =
            names.into_iter().filter(|(name, _)| is_public(name) && !is_covered(&shown, name, now)).collect();
        let known: HashMap<CertificateName, AutomaticCertificate> =
            automatic_certificates::all(pool).await?.into_iter().map(|known| (known.name.clone(), known)).collect();
        for name in wanted.keys().filter(|name| !known.contains_key(name)) {
            automatic_certificates::want(pool, name).await?;
        }
        // A name that comes back before the end of its certificate need not ask again.
        for gone in known.values().filter(|known| !wanted.contains_key(&known.name) && !known.is_valid(now)) {
            automatic_certificates::forget(pool, &gone.name).await?;
        }
        let mut due: Vec<_> = wanted
            .into_iter()
            .filter(|(name, _)| known.get(name).is_none_or(|known| known.next_try_at <= now))
            .map(|(name, of)| {
                let known = known.get(&name);
                let is_new = known.is_none_or(|known| known.expires_at.is_none());
                Due { failures: known.map_or(0, |known| known.failures), is_new, name, of }
            })
            .collect();
        // What is served is kept before anything else is asked for, and of that the platform's own name.
        due.sort_by_key(|due| (due.is_new, matches!(due.of, Of::App(..))));
        if due.is_empty() {
            return Ok(());
        }
        let account = &self.acme_account(settings).await?;
        let tries: Vec<_> =
            due.iter().map(|due| async move { (due.new_of(), self.try_name(settings, account, due).await) }).collect();
        let mut tries = stream::iter(tries).buffer_unordered(AT_ONCE);
        // An error that is about all names ends the pass; tries under way are dropped and stay due. That the authority was
        // asked too often may be about the names of one owner, who rests from then on, until it says so to another.
        let mut limited = None;
        while let Some((owner, tried)) = tries.next().await {
            match tried {
                Err(error)
                    if error.is_rate_limit() && owner.is_some() && limited.is_none_or(|of| Some(of) == owner) =>
                {
                    limited = owner;
                }
                tried => tried?,
            }
        }
        Ok(())
    }

    /// Asks for one name and writes down what came of it.
    async fn try_name(&self, settings: &AcmeSettings, account: &Account, due: &Due) -> Result<(), AcmeError> {
        let owners = &self.0.automatic.owners;
        if due.is_new && settings.looks_up && !leads_somewhere(&due.name).await {
            return self.put_off(due, "the name leads nowhere: no name server knows an address of it", None).await;
        }
        // Whoever has had their share stays due.
        if due.new_of().is_some_and(|owner| !owners.take_turn(owner, Timestamp::now())) {
            return Ok(());
        }
        let (challenges, kind) = (&self.0.automatic.challenges, order::way(settings.challenge, due.failures));
        match order::obtain(account, challenges, &due.name, kind).await {
            Ok(issued) => {
                let end = self.keep(&due.name, issued).await?;
                self.tell_router(None).await;
                if let Some(owner) = due.new_of() {
                    owners.succeeded(owner);
                }
                self.note(due, &format!("the certificate for {} is here, valid until {end}", due.name));
                Ok(())
            }
            Err(error) => {
                let asked = self.0.automatic.wait.left().filter(|_| error.is_about_all());
                if let Some(owner) = due.new_of() {
                    owners.failed(owner, error.is_rate_limit(), Timestamp::now());
                }
                self.put_off(due, &error.to_string(), asked).await?;
                if error.is_about_account() {
                    *self.0.automatic.account.lock().await = None;
                }
                if error.is_about_all() { Err(error) } else { Ok(()) }
            }
        }
    }

    /// Writes down why there is no certificate, and when to ask next.
    async fn put_off(&self, due: &Due, why: &str, asked: Option<Duration>) -> Result<(), AcmeError> {
        let next = after(Timestamp::now(), schedule::after_failure(due.failures + 1, asked));
        automatic_certificates::failed(self.0.store.pool(), &due.name, why, next).await?;
        self.note(due, &format!("no certificate for {} yet: {why}; trying again at {next}", due.name));
        Ok(())
    }

    /// Stores a certificate that has come; yields the end of its validity.
    async fn keep(&self, name: &CertificateName, issued: Issued) -> Result<Timestamp, AcmeError> {
        let usable = pem::read(&issued.chain, &issued.key).map_err(AcmeError::platform)?;
        let renew_at = schedule::renewal(usable.begins_at, usable.expires_at);
        let (store, material) = (&self.0.store, Material { chain: issued.chain, key: issued.key });
        automatic_certificates::issued(store.pool(), store.sealer(), name, &material, usable.expires_at, renew_at)
            .await?;
        Ok(usable.expires_at)
    }

    /// The account at the authority: the one of this life, else the stored one, else a new one.
    async fn acme_account(&self, settings: &AcmeSettings) -> Result<Account, AcmeError> {
        let mut held = self.0.automatic.account.lock().await;
        if let Some(account) = &*held {
            return Ok(account.clone());
        }
        let (store, wait) = (&self.0.store, &self.0.automatic.wait);
        let stored = automatic_certificates::account(store.pool(), store.sealer(), &settings.directory).await?;
        let account = match stored {
            Some(credentials) => client::restore(&credentials, wait).await?,
            None => {
                let (account, credentials) = client::register(&settings.directory, &settings.email, wait).await?;
                let (pool, sealer) = (store.pool(), store.sealer());
                automatic_certificates::keep_account(pool, sealer, &settings.directory, &credentials).await?;
                tracing::info!(directory = settings.directory, "registered an account for automatic certificates");
                account
            }
        };
        Ok(held.insert(account).clone())
    }

    /// Host names that requests come in under, and whose each is.
    async fn host_names(&self) -> Result<BTreeMap<CertificateName, Of>, Error> {
        let (pool, domain) = (self.0.store.pool(), self.domain());
        let mut names = BTreeMap::new();
        let mut add = |name: String, of: Of| {
            if let Ok(name) = name.parse::<CertificateName>() {
                names.insert(name, of);
            }
        };
        add(format!("slipway.{domain}"), Of::Platform);
        let mut owners = HashMap::new();
        for app in apps::list(pool, None, Page::ALL).await?.into_iter().filter(|app| !app.is_destroying) {
            owners.insert(app.id, app.owner_id);
            add(format!("{}.{domain}", app.name), Of::App(app.id, app.owner_id));
        }
        // A wildcard can only be shown to be ours in the DNS, which is not ours to change.
        for (name, app) in domains::all(pool).await?.into_iter().filter(|(name, _)| name.below().is_none()) {
            if let Some(owner) = owners.get(&app).filter(|_| !name.is_of_platform(&domain)) {
                add(name.to_string(), Of::App(app, *owner));
            }
        }
        Ok(names)
    }

    /// Lays automatic certificates over what is shown of uploads, behind these.
    pub(super) async fn add_automatic(&self, shown: &mut Shown) -> Result<(), Error> {
        let store = &self.0.store;
        let known = automatic_certificates::all(store.pool()).await?;
        if known.is_empty() {
            return Ok(());
        }
        let names = self.host_names().await?;
        let mut loaded = self.0.automatic.loaded.lock().await;
        loaded.retain(|name, _| names.contains_key(name));
        for AutomaticCertificate { name, expires_at, updated_at, .. } in known {
            if expires_at.is_none() || !names.contains_key(&name) {
                continue;
            }
            let is_loaded = loaded.get(&name).is_some_and(|loaded| loaded.updated_at == updated_at);
            if !is_loaded {
                let servable = self.load_automatic(&name).await?;
                loaded.insert(name.clone(), Loaded { updated_at, servable });
            }
            if let Some(servable) = loaded.get(&name).and_then(|loaded| loaded.servable.as_ref()) {
                let below = name.as_str().split_once('.').map_or("", |(_, below)| below);
                let uploads = || shown.wildcards.get(below).cloned().unwrap_or_default();
                let uploads = shown.exact.get(name.as_str()).cloned().unwrap_or_else(uploads);
                let all = uploads.into_iter().chain([Arc::clone(servable)]).collect();
                shown.exact.insert(name.to_string(), all);
            }
        }
        Ok(())
    }

    async fn load_automatic(&self, name: &CertificateName) -> Result<Option<Arc<Servable>>, Error> {
        let store = &self.0.store;
        let found = automatic_certificates::material(store.pool(), store.sealer(), name).await;
        let unusable = |error: &dyn std::fmt::Display| {
            tracing::error!(%name, %error, "a stored certificate cannot be served");
            None
        };
        Ok(match found {
            Ok(None) => None,
            Ok(Some(material)) => match pem::read(&material.chain, &material.key) {
                Ok(usable) => Some(Arc::new(Servable { expires_at: usable.expires_at, key: Arc::new(usable.key) })),
                Err(error) => unusable(&error),
            },
            Err(error @ (StoreError::Sealed(_) | StoreError::Corrupt { .. })) => unusable(&error),
            Err(error) => return Err(error.into()),
        })
    }

    fn note(&self, due: &Due, text: &str) {
        tracing::info!(name = %due.name, "{text}");
        if let Some(app) = due.of.app() {
            self.0.logs.note(app, COMPONENT, text);
        }
    }
}

/// Whose a host name is.
#[derive(Debug, Clone, Copy)]
enum Of {
    Platform,
    /// An app's, and the app's owner.
    App(AppId, UserId),
}

impl Of {
    fn app(self) -> Option<AppId> {
        match self {
            Self::Platform => None,
            Self::App(app, _) => Some(app),
        }
    }
}

/// A name to ask for.
struct Due {
    name: CertificateName,
    of: Of,
    /// It never had a certificate.
    is_new: bool,
    failures: u32,
}

impl Due {
    /// Who answers for a new name, if it is somebody.
    fn new_of(&self) -> Option<UserId> {
        match self.of {
            Of::App(_, owner) if self.is_new => Some(owner),
            _ => None,
        }
    }
}

/// Whether this machine's name servers know an address of the name.
async fn leads_somewhere(name: &CertificateName) -> bool {
    let found = timeout(LOOKUP_LIMIT, tokio::net::lookup_host((name.as_str(), 443))).await;
    found.is_ok_and(|found| found.is_ok_and(|mut addresses| addresses.next().is_some()))
}

fn after(moment: Timestamp, wait: Duration) -> Timestamp {
    let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(moment.millis().saturating_add(wait))
}

/// Whether an authority that the world trusts could certify the name: `localhost` and what lies below it is every machine.
fn is_public(name: &CertificateName) -> bool {
    let name = name.as_str();
    name.contains('.') && !name.ends_with(".localhost") && !name.starts_with("*.")
}

/// Whether an upload answers for the name, for a while yet.
fn is_covered(shown: &Shown, name: &CertificateName, now: Timestamp) -> bool {
    let wildcard = || shown.wildcards.get(name.as_str().split_once('.')?.1);
    let found = shown.exact.get(name.as_str()).or_else(wildcard);
    let until = after(now, UPLOAD_MARGIN);
    found.is_some_and(|found| found.iter().any(|certificate| certificate.expires_at > until))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::tls;

    fn servable(days: i64) -> Vec<Arc<Servable>> {
        let (certificate, key) = tls::self_signed("any.test").unwrap();
        let key = Arc::new(tls::certified_key(&certificate, &key).unwrap());
        vec![Arc::new(Servable { expires_at: Timestamp::from_millis(days * 24 * 3600 * 1000), key })]
    }

    #[test]
    fn an_upload_covers_its_names_until_shortly_before_its_end() {
        let shown = Shown {
            exact: [
                ("www.example.com".to_owned(), servable(90)),
                ("old.example.com".to_owned(), servable(6)),
                ("bare.example.com".to_owned(), Vec::new()),
                ("bare.other.com".to_owned(), Vec::new()),
            ]
            .into(),
            wildcards: [("example.com".to_owned(), servable(90))].into(),
        };
        let check = |name: &str, expect: bool| {
            assert_eq!(is_covered(&shown, &name.parse().unwrap(), Timestamp::from_millis(0)), expect, "{name}");
        };
        check("www.example.com", true);
        check("old.example.com", false);
        check("any.example.com", true);
        check("bare.example.com", false);
        check("bare.other.com", false);
        check("example.com", false);
    }

    #[test]
    fn only_names_that_the_world_has_are_asked_for() {
        let check = |name: &str, expect: bool| assert_eq!(is_public(&name.parse().unwrap()), expect, "{name}");
        check("www.example.com", true);
        check("hello.apps.test", true);
        check("localhost", false);
        check("hello.localhost", false);
        check("*.example.com", false);
    }
}
