//! The Tutum API, version 1 of 2014: applications, containers, roles, for the Python SDK `python-tutum` 0.6 and 0.7 and for
//! the `tutum` command line that is built on it.
//!
//! An application is a [process group](crate::model::ProcessGroup) of the platform, whatever door it was made at.

mod applications;
mod auth;
mod body;
mod containers;
mod dates;
mod error;
mod headers;
mod image;
mod keys;
mod links;
mod list;
mod members;
mod openapi;
mod paths;
mod roles;
mod routes;
mod sizes;
mod states;
mod unused;
mod wire;

use axum::Router;

use crate::api::routes::Routes;
use crate::platform::Platform;

pub(super) use openapi::document;

/// The door, to be mounted at `/api/v1`.
pub fn router(platform: Platform) -> Router {
    routes::finish(endpoints(), &platform)
}

/// Every endpoint, with the SDK's call beside it. Each is documented at its handler.
fn endpoints() -> Routes {
    Routes::default()
        .get_public("/auth", keys::log_in) // tutum login
        .post_public("/register", keys::register) // tutum login
        .get("/application", applications::list) // Application.list()
        .post("/application", applications::create) // Application.create(...).save()
        .get("/application/{uuid}", applications::show) // Application.fetch(...)
        .patch("/application/{uuid}", applications::change) // Application.save()
        .delete("/application/{uuid}", applications::terminate) // Application.delete()
        .post("/application/{uuid}/start", applications::start) // Application.start()
        .post("/application/{uuid}/stop", applications::stop) // Application.stop()
        .post("/application/{uuid}/redeploy", applications::redeploy) // Application.redeploy(tag)
        .get("/application/{uuid}/logs", applications::logs) // Application.logs
        .get("/container", containers::list) // Container.list()
        .get("/container/{uuid}", containers::show) // Container.fetch(...)
        .delete("/container/{uuid}", containers::terminate) // Container.delete()
        .post("/container/{uuid}/start", containers::start) // Container.start()
        .post("/container/{uuid}/stop", containers::stop) // Container.stop()
        .post("/container/{uuid}/redeploy", containers::redeploy) // Container.redeploy(tag)
        .get("/container/{uuid}/logs", containers::logs) // Container.logs
        .get("/role", roles::list) // Role.list()
        .get("/role/{scope}", roles::show) // Role.fetch(...)
        .get("/image", unused::images) // Image.list()
        .get("/registry", unused::registries) // no call
        .get_public("/openapi.json", openapi::serve) // no call
}
