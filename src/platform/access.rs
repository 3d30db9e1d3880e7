//! Who may do what: an [`AppHandle`] is the proof that somebody may work with an app.

use super::{Error, Platform};
use crate::model::{App, User};
use crate::store::apps;

/// An app together with somebody who may use it. Every verb on an app takes one, so that no door can forget to ask.
#[derive(Debug, Clone)]
pub struct AppHandle {
    app: App,
    user: User,
}

impl AppHandle {
    /// The app.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Who uses it.
    pub fn user(&self) -> &User {
        &self.user
    }
}

impl Platform {
    /// The app of that name, for `user`: its owner and administrators may use it.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such app or it is being destroyed, [`Error::Forbidden`] when it is somebody
    /// else's.
    pub async fn app(&self, user: &User, name: &str) -> Result<AppHandle, Error> {
        let app = apps::by_name(self.0.store.pool(), name).await?.filter(|app| !app.is_destroying);
        let app = app.ok_or_else(|| Error::NotFound(format!("app '{name}'")))?;
        if app.owner_id != user.id && !user.is_superuser {
            return Err(Error::Forbidden);
        }
        Ok(AppHandle { app, user: user.clone() })
    }
}
