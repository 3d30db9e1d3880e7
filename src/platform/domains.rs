//! Domains: attach host names to an app, list them, take them away. Releases know nothing of them.

use std::time::Duration;

use super::{AppHandle, Error, Listing, OwnerHandle, Platform};
use crate::model::{App, Domain, DomainName, QuotaKind, User};
use crate::store::{Page, StoreError, apps, domains};

/// Between two tries to tell the router what the database says.
const RETRY: Duration = Duration::from_millis(500);

impl Platform {
    /// An app's domains in the order in which they were added.
    pub async fn domains(&self, handle: &AppHandle, page: Page) -> Result<Listing<Domain>, Error> {
        let (pool, app) = (self.0.store.pool(), handle.app().id);
        let entries = domains::list(pool, app, page).await?;
        Ok(Listing::of(page, entries, domains::count(pool, app)).await?)
    }

    /// Attaches a domain to an app: from the return of this call on the router sends its requests there. A wildcard gets
    /// the names that nobody has added by themselves.
    ///
    /// # Errors
    /// [`Error::Taken`] when any app has that domain, [`Error::Invalid`] for a name of the platform itself and for one
    /// that lies under a wildcard of an app which the user may not use: its visitors are that app's.
    pub async fn add_domain(&self, handle: &AppHandle, name: DomainName) -> Result<Domain, Error> {
        self.check_domain(handle.user(), &name).await?;
        let (platform, handle) = (self.clone(), handle.clone());
        self.owned(async move {
            let (pool, app) = (platform.0.store.pool(), handle.app());
            let mut tx = platform.0.store.begin().await?;
            platform.ask_for(&mut tx, app.owner_id, QuotaKind::Domains, 1).await?;
            match domains::insert(&mut *tx, &name, app.id, handle.user().id).await {
                Ok(true) => tx.commit().await.map_err(StoreError::from)?,
                Ok(false) | Err(StoreError::Dangling) => return Err(Error::NotFound(format!("app '{}'", app.name))),
                Err(StoreError::Duplicate) => return Err(Error::Taken { field: "domain" }),
                Err(error) => return Err(error.into()),
            }
            platform.tell_router(Some(app)).await;
            platform.certificates_may_be_due();
            platform.0.logs.note(app.id, "api", &format!("domain {name} added"));
            let added = domains::by_name(pool, &name).await?;
            added.ok_or_else(|| Error::NotFound(format!("domain '{name}'")))
        })
        .await
    }

    /// Takes a domain away from an app: from the return of this call on the router does not know it, and any app may have
    /// it.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is not that app's.
    pub async fn remove_domain(&self, handle: &OwnerHandle, name: DomainName) -> Result<(), Error> {
        let (platform, app) = (self.clone(), handle.app().clone());
        self.owned(async move {
            if !domains::delete(platform.0.store.pool(), &name, app.id).await? {
                return Err(Error::NotFound(format!("domain '{name}'")));
            }
            platform.tell_router(Some(&app)).await;
            platform.0.logs.note(app.id, "api", &format!("domain {name} removed"));
            Ok(())
        })
        .await
    }

    /// Refuses names that no app of `user` may have: those of the platform, and those under a wildcard of somebody else's
    /// app.
    pub(super) async fn check_domain(&self, user: &User, name: &DomainName) -> Result<(), Error> {
        let platform_domain = self.domain();
        if name.is_of_platform(&platform_domain) {
            return Err(Error::invalid(
                "domain",
                format!(
                    "{name} is a name of the platform itself: apps have theirs under {platform_domain} by their name."
                ),
            ));
        }
        self.refuse_under_foreign_wildcard(user, name).await
    }

    async fn refuse_under_foreign_wildcard(&self, user: &User, name: &DomainName) -> Result<(), Error> {
        let Some(wildcard) = name.wildcard() else { return Ok(()) };
        let Some(covering) = domains::by_name(self.0.store.pool(), &wildcard).await? else { return Ok(()) };
        let app = apps::by_id(self.0.store.pool(), covering.app_id).await?;
        let Some(app) = app else { return Ok(()) };
        match self.app_or_refusal(user, app.name.as_str()).await {
            // One that does not exist any more is being destroyed, and its domains with it.
            Ok(_) | Err(Error::NotFound(_)) => Ok(()),
            Err(Error::Forbidden) => {
                Err(Error::invalid("domain", format!("{name} lies under {wildcard}, which another app has.")))
            }
            Err(error) => Err(error),
        }
    }

    /// The platform's own domain as names are compared with it.
    pub(super) fn domain(&self) -> String {
        self.0.settings.domain.trim_matches('.').to_ascii_lowercase()
    }

    /// Tells the router what a change came to: the domains and routing settings of `app`, if it is one's, and
    /// which certificates are shown.
    /// The change is made and cannot be taken back, so this tries until the database answers or the server stops; a start
    /// reads everything.
    pub(super) async fn tell_router(&self, app: Option<&App>) {
        while let Err(error) = self.try_to_tell_router(app).await {
            tracing::error!(error = ?error, "cannot tell the router of a change, trying again");
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    async fn try_to_tell_router(&self, app: Option<&App>) -> Result<(), Error> {
        if let Some(app) = app {
            self.0.rollouts.publish_domains(app).await?;
            self.publish_routing(app).await?;
        }
        self.refresh_certificates().await
    }
}
