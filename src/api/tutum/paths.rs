//! What paths name, and the URIs of resources.

use std::fmt::Display;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::Error;
use crate::model::{GroupId, InstanceId};

const APPLICATION: &str = "/api/v1/application/";

/// Parameters of the path. What cannot be one of them names nothing: 404.
pub(super) struct InPath<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Path::from_request_parts(parts, state).await.map(|Path(found)| Self(found)).map_err(|_| Error::NotFound)
    }
}

/// The application of the path's `{uuid}`, which need not be there.
pub(super) struct ApplicationInPath(pub GroupId);

impl<S: Send + Sync> FromRequestParts<S> for ApplicationInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        uuid(parts, state).await.map(Self)
    }
}

/// The container of the path's `{uuid}`, which need not be there.
pub(super) struct ContainerInPath(pub InstanceId);

impl<S: Send + Sync> FromRequestParts<S> for ContainerInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        uuid(parts, state).await.map(Self)
    }
}

/// Only the canonical spelling is an identifier: lower case, with hyphens (spec §1.3).
async fn uuid<S: Send + Sync, T: std::str::FromStr + Display>(parts: &mut Parts, state: &S) -> Result<T, Error> {
    let InPath(text) = InPath::<String>::from_request_parts(parts, state).await?;
    let id: T = text.parse().map_err(|_| Error::NotFound)?;
    if id.to_string() == text { Ok(id) } else { Err(Error::NotFound) }
}

/// `/api/v1/application/UUID/`
pub(super) fn application(id: impl Display) -> String {
    format!("{APPLICATION}{id}/")
}

/// `/api/v1/container/UUID/`
pub(super) fn container(id: impl Display) -> String {
    format!("/api/v1/container/{id}/")
}

/// What stands in the place of the UUID in the URI of an application.
pub(super) fn application_of(uri: &str) -> Option<&str> {
    let id = uri.strip_prefix(APPLICATION)?;
    Some(id.strip_suffix('/').unwrap_or(id))
}
