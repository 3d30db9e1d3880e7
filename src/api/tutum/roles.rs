//! Roles: what the containers of an application may do here (spec §11). There is one.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::Error;
use super::list::{ListOf, Query};
use super::paths::InPath;

/// The scopes of all roles.
const SCOPES: [&str; 1] = ["global"];

/// A role.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({"label": "Full access", "resource_uri": "/api/v1/role/global/", "scope": "global"})))]
pub(super) struct Role {
    /// For people.
    label: &'static str,
    /// What an application is created with to be granted it.
    resource_uri: String,
    /// What it is good for.
    scope: &'static str,
}

impl Role {
    fn of(scope: &'static str) -> Self {
        Self { label: "Full access", resource_uri: uri(scope), scope }
    }
}

/// The URI of the role of a scope.
pub(super) fn uri(scope: &str) -> String {
    format!("/api/v1/role/{scope}/")
}

/// The scope that a URI, or a bare scope, names.
pub(super) fn scope_of(text: &str) -> Option<&'static str> {
    SCOPES.into_iter().find(|scope| *scope == text || uri(scope) == text)
}

/// List roles
///
/// Client: `Role.list()`
#[utoipa::path(
    get, path = "/role/", tag = "role",
    responses((status = 200, description = "The roles.", body = ListOf<Role>))
)]
pub(super) async fn list(query: Query) -> Json<ListOf<Role>> {
    query.page_of(SCOPES.to_vec(), Role::of)
}

/// Look at a role
///
/// Client: `Role.fetch(...)`
#[utoipa::path(
    get, path = "/role/{scope}/", tag = "role",
    responses((status = 200, description = "The role.", body = Role))
)]
pub(super) async fn show(InPath(scope): InPath<String>) -> Result<Json<Role>, Error> {
    let known = SCOPES.into_iter().find(|known| *known == scope);
    known.map(|scope| Json(Role::of(scope))).ok_or(Error::NotFound)
}
