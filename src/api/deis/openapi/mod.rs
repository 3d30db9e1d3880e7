//! The door describes itself: an OpenAPI 3.1 document, made from the handlers, their shapes and the table of endpoints.
//!
//! What is particular to an endpoint stands at its handler: `#[utoipa::path(...)]` and its doc comment. What follows from
//! where an endpoint lies (its token, its parameters, its errors, the headers of its answers) is laid over that by
//! [`rules`], so that no handler has to repeat it. CONTRIBUTING.md shows how to document one.

mod bodies;
mod components;
mod errors;
pub(super) mod fields;
mod rules;
#[cfg(test)]
mod tests;
pub(super) mod words;

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::Value;
use utoipa::OpenApi;

use super::{
    accounts, apps, archives, build_records, builds, certs, config, containers, cron, domains, hooks, keys, log_drains,
    logs, openapi, perms, quotas, releases, restart, routing, run, scale,
};
use crate::api::openapi::unwrap_raw;
use crate::api::routes::Endpoint;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Slipway: the Deis controller API",
        description = "The API of a Deis controller, versions 1.0 and 1.2, for the `deis` clients 1.0.x and 1.1 to 1.9 and \
                       for anything that speaks HTTP.\n\nA path may end in a slash or not. Requests carry \
                       `Authorization: token TOKEN`, with the token that `POST /v1/auth/login` answers. Bodies are JSON, \
                       URL-encoded or multipart; fields that an endpoint does not know are not looked at. Answers are JSON. \
                       Calls that deploy answer when the deploy is over.",
    ),
    servers((url = "/", description = "This server")),
    security(("token" = [])),
    tags(
        (name = "auth", description = "Accounts and their tokens."),
        (name = "keys", description = "SSH keys: who pushes is known by their key."),
        (name = "apps", description = "What is pushed to, released and reached under a host name."),
        (name = "config", description = "Environment values and limits; every change is a release."),
        (name = "builds", description = "What releases run: pushed code or an image."),
        (name = "build-records", description = "Attempts to build, with their logs, and a way to call one off."),
        (name = "releases", description = "Numbered pairs of a build and a config, and the way back to an earlier one."),
        (name = "containers", description = "Running instances, and how many of each process type there should be."),
        (name = "domains", description = "Host names of one's own under which an app answers."),
        (name = "routing", description = "How the router treats an app's requests: maintenance, HTTPS, limits."),
        (name = "certs", description = "Certificates for HTTPS, shown for domains of apps that their owner may use."),
        (name = "run", description = "One-off commands."),
        (name = "cron", description = "Commands that are run by a schedule, as `app.json` asks for them."),
        (name = "perms", description = "Who else may use an app, and who may do everything."),
        (name = "quotas", description = "What one account may have, and how much it has."),
        (name = "logs", description = "What an app's instances and the platform said."),
        (name = "log-drains", description = "Receivers elsewhere that get the log, line by line."),
        (name = "hooks", description = "What a builder of the operator's own reports; Slipway's own pushes do not come this way."),
        (name = "description", description = "What you are reading, for programs."),
    ),
    paths(
        accounts::register,
        accounts::log_in,
        accounts::change_password,
        accounts::cancel,
        accounts::renew_token,
        perms::list_users,
        quotas::of_caller,
        quotas::of_account,
        quotas::change,
        perms::list_administrators,
        perms::add_administrator,
        perms::remove_administrator,
        keys::list,
        keys::add,
        keys::show,
        keys::remove,
        certs::list,
        certs::add,
        certs::show,
        certs::remove,
        certs::of_app,
        apps::list,
        apps::create,
        apps::show,
        apps::transfer,
        apps::destroy,
        perms::list,
        perms::share,
        perms::unshare,
        scale::scale,
        run::run,
        cron::list,
        cron::run,
        logs::read,
        log_drains::list,
        log_drains::add,
        log_drains::remove,
        config::show,
        config::change,
        builds::list,
        builds::create,
        builds::show,
        archives::deploy,
        build_records::list,
        build_records::show,
        build_records::cancel,
        build_records::log,
        releases::list,
        releases::rollback,
        releases::show,
        domains::list,
        domains::add,
        domains::remove,
        routing::show,
        routing::change,
        containers::list,
        containers::list_of_type,
        containers::show,
        containers::list_of_type_restart,
        restart::all,
        restart::of_type,
        restart::one,
        hooks::push,
        hooks::config,
        hooks::build,
        hooks::build_as_documented,
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
/// An OpenAPI 3.1 document of every endpoint under `/v1`. People read it at `/docs`.
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
    components::add(&mut document);
    bodies::in_all_types(&mut document);
    rules::apply(&mut document, endpoints);
    document
}
