//! Routing settings: look at them, change them. No release: the router has a change at once.

use tokio::sync::Mutex;

use super::{AppHandle, Error, Platform};
use crate::model::{App, Routing, RoutingField};
use crate::route::Table;
use crate::store::{Page, StoreError, apps, routing};

/// Which settings change: a value as text, or `None` for the default.
pub type RoutingChanges = Vec<(RoutingField, Option<String>)>;

/// The router's table, as far as routing settings go.
pub struct RoutedSettings {
    table: Table,
    /// Held from reading the database until the router has the result, so that an older reading never follows a newer one.
    telling: Mutex<()>,
}

impl RoutedSettings {
    /// For this router.
    pub fn new(table: Table) -> Self {
        Self { table, telling: Mutex::default() }
    }
}

impl Platform {
    /// An app's routing settings.
    pub async fn routing(&self, handle: &AppHandle) -> Result<Routing, Error> {
        Ok(routing::get(self.0.store.pool(), handle.app().id).await?)
    }

    /// Changes some of an app's routing settings, all or none; the others stay. Requests that begin after the return of this
    /// call are treated so.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the name of the setting that does not take its value, before anything happens.
    pub async fn set_routing(&self, handle: &AppHandle, changes: RoutingChanges) -> Result<Routing, Error> {
        for (field, value) in &changes {
            if let Some(value) = value {
                let taken = Routing::default().set(*field, value);
                taken.map_err(|invalid| Error::invalid(field.as_str(), invalid))?;
            }
        }
        let (platform, app) = (self.clone(), handle.app().clone());
        self.owned(async move {
            let mut tx = platform.0.store.begin().await?;
            for (field, value) in &changes {
                match value {
                    None => routing::reset(&mut *tx, app.id, *field).await?,
                    Some(value) => match routing::set(&mut *tx, app.id, *field, value).await {
                        Ok(true) => {}
                        Ok(false) | Err(StoreError::Dangling) => {
                            return Err(Error::NotFound(format!("app '{}'", app.name)));
                        }
                        Err(error) => return Err(error.into()),
                    },
                }
            }
            tx.commit().await.map_err(StoreError::from)?;
            platform.tell_router(Some(&app)).await;
            if let Some(said) = said(&changes) {
                platform.0.logs.note(app.id, "api", &said);
            }
            Ok(routing::get(platform.0.store.pool(), app.id).await?)
        })
        .await
    }

    /// Tells the router what the database says of one app.
    pub(super) async fn publish_routing(&self, app: &App) -> Result<(), StoreError> {
        let RoutedSettings { table, telling } = &self.0.routing;
        let _telling = telling.lock().await;
        let settings = routing::get(self.0.store.pool(), app.id).await?;
        // One that was destroyed meanwhile must not speak for a new app of its name.
        if apps::by_id(self.0.store.pool(), app.id).await?.is_none() {
            return Ok(());
        }
        table.set_routing([(&app.name, app.id, &settings)]);
        Ok(())
    }

    /// Tells the router what the database says of all apps that it knows.
    pub(super) async fn publish_all_routing(&self) -> Result<(), StoreError> {
        let RoutedSettings { table, telling } = &self.0.routing;
        let _telling = telling.lock().await;
        let apps = apps::list(self.0.store.pool(), None, Page::ALL).await?;
        let (chosen, default) = (routing::all(self.0.store.pool()).await?, Routing::default());
        table.set_routing(apps.iter().map(|app| (&app.name, app.id, chosen.get(&app.id).unwrap_or(&default))));
        Ok(())
    }

    /// Makes a new app known to the router: it has chosen nothing yet.
    pub(super) fn introduce(&self, app: &App) {
        self.0.routing.table.set_routing([(&app.name, app.id, &Routing::default())]);
    }
}

/// `routing set: maintenance=true, sticky reset`; a page is only named.
fn said(changes: &RoutingChanges) -> Option<String> {
    let one = |(field, value): &(RoutingField, Option<String>)| match (field, value) {
        (field, None) => format!("{field} reset"),
        (RoutingField::MaintenancePage, Some(_)) => format!("{field} set"),
        (field, Some(value)) => format!("{field}={value}"),
    };
    let parts: Vec<String> = changes.iter().map(one).collect();
    (!parts.is_empty()).then(|| format!("routing changed: {}", parts.join(", ")))
}
