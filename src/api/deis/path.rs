//! What a path names.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::auth::Caller;
use super::error::Error;
use crate::model::AppName;
use crate::platform::{AppHandle, OwnerHandle, Platform};

/// Parameters of the path. What cannot be one of them names nothing: 404.
pub(super) struct InPath<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Path::from_request_parts(parts, state).await.map(|Path(found)| Self(found)).map_err(|_| Error::NotFound)
    }
}

/// The app of the path's `{app}`, in the hands of the caller, who may use it.
pub(super) struct AppInPath(pub AppHandle);

#[derive(Deserialize)]
struct AppParameter {
    app: String,
}

impl FromRequestParts<Platform> for AppInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, platform: &Platform) -> Result<Self, Error> {
        let Caller(user) = Caller::from_request_parts(parts, platform).await?;
        let InPath(AppParameter { app }) = InPath::from_request_parts(parts, platform).await?;
        let name: AppName = app.parse().map_err(|_| Error::NotFound)?;
        Ok(Self(platform.app(&user, name.as_str()).await?))
    }
}

/// The same in the hands of its owner or an administrator: for what collaborators may not do (spec §1.9).
pub(super) struct OwnAppInPath(pub OwnerHandle);

impl FromRequestParts<Platform> for OwnAppInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, platform: &Platform) -> Result<Self, Error> {
        let AppInPath(handle) = AppInPath::from_request_parts(parts, platform).await?;
        Ok(Self(handle.as_owner()?))
    }
}
