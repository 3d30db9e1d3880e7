//! What clients look for and this server has nothing of: images and registries (spec §4).

use axum::Json;
use serde_json::Value;

use super::list::{ListOf, Query};
use super::openapi::words::Nothing;

/// List images
///
/// Always empty: images need not be made known before they are used.
///
/// Client: `Image.list()`
#[utoipa::path(
    get, path = "/image/", tag = "unused",
    responses((status = 200, description = "No images.", body = ListOf<Nothing>))
)]
pub(super) async fn images(query: Query) -> Json<ListOf<Value>> {
    query.page_of(Vec::new(), |nothing| nothing)
}

/// List registries
///
/// Always empty.
#[utoipa::path(
    get, path = "/registry/", tag = "unused",
    responses((status = 200, description = "No registries.", body = ListOf<Nothing>))
)]
pub(super) async fn registries(query: Query) -> Json<ListOf<Value>> {
    query.page_of(Vec::new(), |nothing| nothing)
}
