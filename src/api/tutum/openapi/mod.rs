//! The door describes itself: an OpenAPI 3.1 document, made as that of the Deis door is, from the handlers, their shapes and
//! the table of endpoints.

pub(super) mod bodies;
mod components;
mod errors;
mod rules;
#[cfg(test)]
mod tests;
pub(super) mod words;

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::Value;
use utoipa::OpenApi;

use super::{applications, containers, keys, openapi, roles, unused};
use crate::api::openapi::unwrap_raw;
use crate::api::routes::Endpoint;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Slipway: the Tutum API",
        description = "The API of Tutum of 2014, version 1, for the Python SDK `python-tutum` 0.6 and 0.7 and for anything that \
                       speaks HTTP.\n\nPaths end in a slash, and are served without it, too. Requests carry \
                       `Authorization: ApiKey USERNAME:APIKEY`. Bodies and answers are JSON objects; an empty body is an \
                       empty object, null counts as not given, and members that an endpoint does not know are not looked \
                       at.\n\nChanges are answered 202 with the object as it is then: the wish is kept and carried out, \
                       whatever becomes of the server meanwhile. Ask for the object again to see what came of it.",
    ),
    servers((url = "/", description = "This server")),
    security(("apikey" = [])),
    tags(
        (name = "auth", description = "Accounts and their keys."),
        (name = "application", description = "An image, run as often as there should be containers of it."),
        (name = "container", description = "One of an application's containers."),
        (name = "role", description = "What the containers of an application may do here."),
        (name = "unused", description = "What clients may look for and never find."),
        (name = "description", description = "What you are reading, for programs."),
    ),
    paths(
        keys::log_in,
        keys::register,
        applications::list,
        applications::create,
        applications::show,
        applications::change,
        applications::terminate,
        applications::start,
        applications::stop,
        applications::redeploy,
        applications::logs,
        containers::list,
        containers::show,
        containers::terminate,
        containers::start,
        containers::stop,
        containers::redeploy,
        containers::logs,
        roles::list,
        roles::show,
        unused::images,
        unused::registries,
        openapi::serve,
    )
)]
struct Handlers;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| build(&super::endpoints().endpoints()));
static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());

/// The document. It is the same for the life of the process.
pub(in crate::api) fn document() -> &'static Value {
    &DOCUMENT
}

/// This document
///
/// An OpenAPI 3.1 document of every endpoint under `/api/v1`. People read it at `/docs`.
#[utoipa::path(
    get, path = "/openapi.json", tag = "description",
    responses((status = 200, description = "The document.", body = Object, content_type = "application/json"))
)]
pub(super) async fn serve() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], TEXT.as_str())
}

fn build(endpoints: &[Endpoint]) -> Value {
    let mut document = serde_json::to_value(Handlers::openapi()).expect("the document is JSON");
    unwrap_raw(&mut document);
    rules::flatten(&mut document);
    components::add(&mut document);
    rules::apply(&mut document, endpoints);
    document
}
