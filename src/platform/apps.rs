//! Apps: create, look at, destroy.

use tokio_util::sync::CancellationToken;

use super::operations::{Live, Progress};
use super::{AppHandle, Error, Listing, OwnerHandle, Platform, names};
use crate::engine::unless_in_use;
use crate::model::{
    App, AppId, AppName, ConfigVars, Formation, Limits, OperationKind, QuotaKind, ReleaseStatus, Step, User,
};
use crate::release::Change;
use crate::store::{Page, StoreError, apps, build_records, builds, configs, domains, formations, releases};
use crate::telemetry::metrics::metrics;

/// Tries at a generated name before giving up.
const NAME_TRIES: usize = 100;

/// An app as doors show it.
#[derive(Debug, Clone)]
pub struct AppView {
    /// The app.
    pub app: App,
    /// Wanted counts.
    pub formation: Formation,
    /// Host name at which it answers, without scheme and port.
    pub host: String,
}

impl Platform {
    /// Creates an app with an empty config, release v1 and a repository. Without a name it gets a generated one.
    ///
    /// # Errors
    /// [`Error::Taken`] with field `id`.
    pub async fn create_app(&self, owner: &User, name: Option<AppName>) -> Result<AppView, Error> {
        if let Some(name) = name {
            return self.create_named(owner, name).await;
        }
        for _ in 0..NAME_TRIES {
            let name = names::generate().parse().map_err(|error| Error::Internal(anyhow::Error::new(error)))?;
            match self.create_named(owner, name).await {
                Err(Error::Taken { .. }) => {}
                other => return other,
            }
        }
        Err(Error::Refused("no generated app name is free; give the app a name".to_owned()))
    }

    async fn create_named(&self, owner: &User, name: AppName) -> Result<AppView, Error> {
        let (store, id) = (&self.0.store, AppId::new());
        let mut tx = store.begin().await?;
        self.ask_for(&mut tx, owner.id, QuotaKind::Apps, 1).await?;
        apps::insert(&mut *tx, id, &name, owner.id).await.map_err(|error| match error {
            StoreError::Duplicate => Error::Taken { field: "id" },
            other => other.into(),
        })?;
        let (none, no_limits) = (ConfigVars::new(), Limits::default());
        let config = configs::insert(&mut *tx, store.sealer(), id, owner.id, &none, &no_limits).await?;
        let summary = Change::Initial { by: &owner.username }.summary();
        let first = releases::NewRelease {
            app: id,
            owner: owner.id,
            build: None,
            config,
            summary: summary.clone(),
            status: ReleaseStatus::Deployed,
        };
        releases::insert(&mut tx, &first).await?;
        tx.commit().await.map_err(StoreError::from)?;
        self.0.rollouts.add_app(&name);
        self.certificates_may_be_due();
        self.0.logs.note(id, "api", &summary);
        let handle = self.app(owner, name.as_str()).await?;
        self.introduce(handle.app());
        self.app_view(&handle).await
    }

    /// The apps that a person may use, in order of creation: their own and those shared with them; administrators may use all.
    pub async fn apps(&self, user: &User, page: Page) -> Result<Listing<AppView>, Error> {
        let pool = self.0.store.pool();
        let viewer = (!user.is_superuser).then_some(user.id);
        let apps = apps::list(pool, viewer, page).await?;
        let Listing { total, entries } = Listing::of(page, apps, apps::count(pool, viewer)).await?;
        let ids: Vec<AppId> = entries.iter().map(|app| app.id).collect();
        let mut formations = formations::of_apps(pool, &ids).await?;
        let entries = entries.into_iter().map(|app| {
            let formation = formations.remove(&app.id).unwrap_or_default();
            self.view(app, formation)
        });
        Ok(Listing { total, entries: entries.collect() })
    }

    /// One app.
    pub async fn app_view(&self, handle: &AppHandle) -> Result<AppView, Error> {
        let app = handle.app().clone();
        let formation = formations::get(self.0.store.pool(), app.id).await?;
        Ok(self.view(app, formation))
    }

    fn view(&self, app: App, formation: Formation) -> AppView {
        let host = format!("{}.{}", app.name, self.0.settings.domain);
        AppView { app, formation, host }
    }

    /// Ends an app: its instances, images, slugs, repository, logs and rows. Its name and domains are free again afterwards.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the engine is away; what is left is removed as soon as it is back.
    pub async fn destroy_app(&self, handle: &OwnerHandle) -> Result<(), Error> {
        let (platform, handle) = (self.clone(), handle.handle().clone());
        self.owned(async move {
            let cancel = CancellationToken::new();
            let mut live = platform.begin(OperationKind::Destroy, &handle, &Progress::none(), &cancel).await?;
            let outcome = platform.destroy_with(&mut live, handle.app()).await;
            live.end(outcome).await
        })
        .await
    }

    async fn destroy_with(&self, live: &mut Live, app: &App) -> Result<(), Error> {
        // Marked before the step is recorded: from the mark on there is no way back, whoever looks.
        apps::mark_destroying(self.0.store.pool(), app.id).await?;
        live.journal.step(Step::Destroy).await?;
        self.finish_destroying(app).await
    }

    /// Removes whatever an app that is marked as destroying still has. Idempotent.
    pub(super) async fn finish_destroying(&self, app: &App) -> Result<(), Error> {
        // First of all, so that another app may have them although the engine is away.
        domains::delete_all(self.0.store.pool(), app.id).await?;
        self.refresh_certificates().await?;
        self.0.rollouts.destroy(app).await?;
        metrics().forget_app(app.name.as_str());
        for record in build_records::list(self.0.store.pool(), app.id, Page::ALL).await? {
            let removed = self.0.builder.logs().remove(record.id);
            removed.map_err(|error| Error::Internal(anyhow::Error::new(error).context("removing a build's log")))?;
        }
        for build in builds::list(self.0.store.pool(), app.id, Page::ALL).await? {
            self.forget_image(&build.engine_image).await?;
            if let Some(slug) = &build.slug
                && !builds::is_slug_shared(self.0.store.pool(), slug, app.id).await?
            {
                let removed = self.0.builder.slugs().remove(slug);
                removed.map_err(|error| Error::Internal(anyhow::Error::new(error).context("removing a slug")))?;
            }
        }
        let (repositories, id) = (self.0.repositories.clone(), app.id);
        let removed = tokio::task::spawn_blocking(move || repositories.remove(id)).await;
        removed.map_err(|error| Error::Internal(error.into()))??;
        self.0.logs.remove(app.id).await;
        self.forget_app(app).await
    }

    async fn forget_image(&self, reference: &str) -> Result<(), Error> {
        if reference.is_empty() {
            return Ok(());
        }
        Ok(unless_in_use(self.0.engine.remove_image(reference).await)?)
    }
}
