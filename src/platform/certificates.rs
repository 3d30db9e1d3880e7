//! Certificates: upload, list, remove; and which of them the router shows to whom.

mod automatic;
mod choose;
mod pem;
#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use tokio::sync::Mutex;

use super::{Error, Listing, Platform};
use crate::model::{Certificate, CertificateId, CertificateName, QuotaKind, Timestamp, User};
use crate::route::{Certificates, Servable, Shown};
use crate::store::{Page, StoreError, certificates, domains};
use choose::{Domains, Holding, choose};
use pem::Usable;

pub use automatic::{AcmeSettings, AutomaticCertificates};

/// Characters in a line of PEM (RFC 7468 §2).
const PEM_LINE: usize = 64;

/// An upload. It has no `Debug`: the key is in it.
pub struct NewCertificate {
    /// PEM: the certificate, then those that signed it, leaf first.
    pub certificate: String,
    /// PEM: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: String,
    /// What to call it, instead of its own common name. One of its names.
    pub common_name: Option<String>,
}

/// The router's certificates, and what was read from the database for them.
pub struct ServedCertificates {
    router: Certificates,
    /// Read and parsed once, since a certificate never changes; nothing for one that cannot be used. Held from reading the
    /// database until the router has the result, so that an older choice never follows a newer one.
    loaded: Mutex<HashMap<CertificateId, Option<Loaded>>>,
}

struct Loaded {
    servable: Arc<Servable>,
    names: Vec<CertificateName>,
}

impl ServedCertificates {
    /// For this router.
    pub fn new(router: Certificates) -> Self {
        Self { router, loaded: Mutex::default() }
    }
}

impl Platform {
    /// Stores a user's certificate. It is shown from the return of this call on, as [`Platform::refresh_certificates`] says.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `certificate`, `key` or `common_name`; [`Error::Taken`] when anybody's has that common
    /// name.
    pub async fn add_certificate(&self, user: &User, new: NewCertificate) -> Result<Certificate, Error> {
        let usable = pem::read(&new.certificate, &new.key)?;
        check_validity(&usable, Timestamp::now())?;
        let common_name = common_name(&usable, new.common_name.as_deref())?;
        let (platform, owner) = (self.clone(), user.id);
        self.owned(async move {
            let store = &platform.0.store;
            let row = certificates::NewCertificate {
                owner,
                common_name: &common_name,
                // Written anew: the file may have held the key as well, and this column is not sealed.
                chain: &usable.key.cert.iter().map(to_pem).collect::<String>(),
                key: &new.key,
                expires_at: usable.expires_at,
            };
            let mut tx = store.begin().await?;
            platform.ask_for(&mut tx, owner, QuotaKind::Certificates, 1).await?;
            let id = certificates::insert(&mut tx, store.sealer(), &row).await.map_err(|error| match error {
                StoreError::Duplicate => Error::Taken { field: "common_name" },
                other => other.into(),
            })?;
            tx.commit().await.map_err(StoreError::from)?;
            platform.tell_router(None).await;
            let added = certificates::by_id(store.pool(), id).await?;
            added.ok_or_else(|| Error::NotFound(format!("certificate '{common_name}'")))
        })
        .await
    }

    /// The user's own certificates in order of upload.
    pub async fn certificates(&self, user: &User, page: Page) -> Result<Listing<Certificate>, Error> {
        let pool = self.0.store.pool();
        let entries = certificates::list(pool, user.id, page).await?;
        Ok(Listing::of(page, entries, certificates::count(pool, user.id)).await?)
    }

    /// The user's own certificate of that common name.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for somebody else's.
    pub async fn certificate(&self, user: &User, name: &CertificateName) -> Result<Certificate, Error> {
        let found = certificates::by_common_name(self.0.store.pool(), user.id, name).await?;
        found.ok_or_else(|| Error::NotFound(format!("certificate '{name}'")))
    }

    /// Removes the user's own certificate: from the return of this call on no handshake shows it.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for somebody else's.
    pub async fn remove_certificate(&self, user: &User, name: CertificateName) -> Result<(), Error> {
        let (platform, owner) = (self.clone(), user.id);
        self.owned(async move {
            if !certificates::delete(platform.0.store.pool(), owner, &name).await? {
                return Err(Error::NotFound(format!("certificate '{name}'")));
            }
            platform.tell_router(None).await;
            platform.certificates_may_be_due();
            Ok(())
        })
        .await
    }

    /// Chooses anew, from the database, which certificate the router shows for which name, and switches it over whole.
    ///
    /// To be called after every change of what decides: certificates, domains, who may use an app, who is an administrator,
    /// which accounts are in use. A certificate is shown for a name whose domain is an app's that its owner may use, an
    /// administrator's for every name; see `certificates/choose.rs`. One that cannot be read is logged and passed over.
    ///
    /// # Errors
    /// When the database fails; the router then goes on as before.
    pub async fn refresh_certificates(&self) -> Result<(), Error> {
        let served = &self.0.certificates;
        let mut loaded = served.loaded.lock().await;
        let mut shown = self.uploads(&mut loaded).await?;
        self.add_automatic(&mut shown).await?;
        served.router.replace(shown);
        Ok(())
    }

    /// What is shown of uploads.
    async fn uploads_shown(&self) -> Result<Shown, Error> {
        self.uploads(&mut *self.0.certificates.loaded.lock().await).await
    }

    async fn uploads(&self, loaded: &mut HashMap<CertificateId, Option<Loaded>>) -> Result<Shown, Error> {
        let pool = self.0.store.pool();
        let held = certificates::held(pool).await?;
        let present: HashSet<CertificateId> = held.iter().map(|held| held.id).collect();
        loaded.retain(|id, _| present.contains(id));
        for id in present {
            if let Entry::Vacant(place) = loaded.entry(id) {
                place.insert(self.load(id).await?);
            }
        }
        let domains = Domains::new(&self.domain(), domains::all(pool).await?, domains::users(pool).await?);
        let holdings = held.into_iter().filter_map(|held| {
            let Loaded { servable, names } = loaded.get(&held.id)?.as_ref()?;
            let (servable, names) = (Arc::clone(servable), names.clone());
            Some(Holding { servable, names, owner: held.owner, is_administrators: held.is_administrators })
        });
        Ok(choose(&domains, &holdings.collect::<Vec<_>>()))
    }

    async fn load(&self, id: CertificateId) -> Result<Option<Loaded>, Error> {
        let store = &self.0.store;
        let unusable = |error: &dyn std::fmt::Display| {
            tracing::error!(certificate.id = %id, %error, "a stored certificate cannot be served");
            None
        };
        let material = match certificates::material(store.pool(), store.sealer(), id).await {
            Ok(Some(material)) => material,
            Ok(None) => return Ok(None),
            Err(error @ (StoreError::Sealed(_) | StoreError::Corrupt { .. })) => return Ok(unusable(&error)),
            Err(error) => return Err(error.into()),
        };
        Ok(match pem::read(&material.chain, &material.key) {
            Ok(Usable { key, names, expires_at, .. }) => {
                let servable = Arc::new(Servable { expires_at, key: Arc::new(key) });
                Some(Loaded { servable, names: names.into_iter().collect() })
            }
            Err(error) => unusable(&error),
        })
    }
}

fn check_validity(usable: &Usable, now: Timestamp) -> Result<(), Error> {
    let Usable { begins_at, expires_at, .. } = usable;
    if *expires_at <= now {
        return Err(Error::invalid("certificate", format!("This certificate expired at {expires_at}.")));
    }
    if *begins_at > now {
        return Err(Error::invalid("certificate", format!("This certificate is not valid before {begins_at}.")));
    }
    Ok(())
}

fn common_name(usable: &Usable, wanted: Option<&str>) -> Result<CertificateName, Error> {
    let Some(wanted) = wanted else { return Ok(usable.common_name.clone()) };
    let found = CertificateName::as_typed(wanted).filter(|name| usable.names.contains(name));
    found.ok_or_else(|| {
        let names: Vec<&str> = usable.names.iter().map(CertificateName::as_str).collect();
        let message = format!("'{wanted}' is not a name of this certificate; it has: {}.", names.join(", "));
        Error::invalid("common_name", message)
    })
}

fn to_pem(der: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(PEM_LINE).map(|line| format!("{}\n", String::from_utf8_lossy(line)));
    format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", lines.collect::<String>())
}
