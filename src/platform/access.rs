//! Who may do what: a handle is the proof that somebody may work with an app.

use super::{Error, Platform};
use crate::model::{App, User};
use crate::store::{apps, collaborators};

/// An app together with somebody who may use it: its owner, a collaborator or an administrator. Every verb on an app
/// takes one, so that no door can forget to ask.
#[derive(Debug, Clone)]
pub struct AppHandle {
    app: App,
    user: User,
    is_owner: bool,
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

    /// The handle for what collaborators may not do: delete, share, give away (Deis, spec §1.9).
    ///
    /// # Errors
    /// [`Error::Forbidden`] when the user is a collaborator.
    pub fn as_owner(&self) -> Result<OwnerHandle, Error> {
        if self.is_owner { Ok(OwnerHandle(self.clone())) } else { Err(Error::Forbidden) }
    }
}

/// An app together with its owner or an administrator.
#[derive(Debug, Clone)]
pub struct OwnerHandle(AppHandle);

impl OwnerHandle {
    /// An app in the hands of whom it belongs to.
    pub(super) fn of_owner(app: App, owner: &User) -> Self {
        Self(AppHandle { app, user: owner.clone(), is_owner: true })
    }

    /// The same with less right.
    pub fn handle(&self) -> &AppHandle {
        &self.0
    }

    /// The app.
    pub fn app(&self) -> &App {
        &self.0.app
    }

    /// Who uses it.
    pub fn user(&self) -> &User {
        &self.0.user
    }
}

/// Somebody who may do everything to everybody's things.
#[derive(Debug, Clone)]
pub struct Administrator(User);

impl Administrator {
    /// Who it is.
    pub fn user(&self) -> &User {
        &self.0
    }
}

impl Platform {
    /// The app of that name, for `user`: its owner, its collaborators and administrators may use it.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such app, it is being destroyed, or it is somebody else's: the answer does not tell which.
    pub async fn app(&self, user: &User, name: &str) -> Result<AppHandle, Error> {
        match self.app_or_refusal(user, name).await {
            Err(Error::Forbidden) => Err(missing(name)),
            found => found,
        }
    }

    /// The same for whoever may know which apps there are.
    ///
    /// # Errors
    /// As [`Platform::app`], but [`Error::Forbidden`] when it is somebody else's.
    pub(super) async fn app_or_refusal(&self, user: &User, name: &str) -> Result<AppHandle, Error> {
        let app = apps::by_name(self.0.store.pool(), name).await?.filter(|app| !app.is_destroying);
        let app = app.ok_or_else(|| missing(name))?;
        let is_owner = app.owner_id == user.id || user.is_superuser;
        if !is_owner && !collaborators::contains(self.0.store.pool(), app.id, user.id).await? {
            return Err(Error::Forbidden);
        }
        Ok(AppHandle { app, user: user.clone(), is_owner })
    }

    /// The proof that a user is an administrator.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub fn administrator(&self, user: &User) -> Result<Administrator, Error> {
        if user.is_superuser { Ok(Administrator(user.clone())) } else { Err(Error::Forbidden) }
    }
}

fn missing(name: &str) -> Error {
    Error::NotFound(format!("app '{name}'"))
}
