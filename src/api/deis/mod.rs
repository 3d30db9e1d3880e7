//! The Deis controller API, versions 1.0 and 1.2, for the `deis` clients 1.0.x and 1.1 to 1.9.
//!
//! Where the two versions differ this door speaks 1.2, with the numeric `id` of 1.0 in the answer to register.

mod accounts;
mod apps;
mod archives;
mod auth;
mod body;
mod build_records;
mod builds;
mod certs;
mod config;
mod containers;
mod cron;
mod domains;
mod error;
mod headers;
mod hooks;
mod keys;
mod log_drains;
mod logs;
mod openapi;
mod page;
mod path;
mod perms;
mod quotas;
mod releases;
mod restart;
mod routes;
mod routing;
mod run;
mod scale;
#[cfg(test)]
mod tests;
mod wire;

use axum::Router;

use crate::api::routes::Routes;
use crate::platform::Platform;

pub(super) use openapi::document;

/// The door, to be mounted at `/v1`.
pub fn router(platform: Platform) -> Router {
    routes::finish(endpoints(), &platform)
}

/// Every endpoint, with the client's command beside it. Each is documented at its handler.
fn endpoints() -> Routes {
    Routes::default()
        .post_public("/auth/register", accounts::register) // deis register
        .post_public("/auth/login", accounts::log_in) // deis login
        .post("/auth/passwd", accounts::change_password) // deis passwd
        .delete("/auth/cancel", accounts::cancel) // deis auth:cancel
        .post("/auth/tokens", accounts::renew_token) // deis auth:regenerate
        .get("/users", perms::list_users) // deis users:list
        .get("/quotas", quotas::of_caller) // no command
        .get("/admin/quotas/{username}", quotas::of_account) // no command
        .patch("/admin/quotas/{username}", quotas::change) // no command
        .get("/admin/perms", perms::list_administrators) // deis perms:list --admin
        .post("/admin/perms", perms::add_administrator) // deis perms:create --admin
        .delete("/admin/perms/{username}", perms::remove_administrator) // deis perms:delete --admin
        .get("/keys", keys::list) // deis keys:list
        .post("/keys", keys::add) // deis keys:add
        .get("/keys/{*id}", keys::show) // no command
        .delete("/keys/{*id}", keys::remove) // deis keys:remove
        .get("/certs", certs::list) // deis certs:list
        .post("/certs", certs::add) // deis certs:add
        .get("/certs/{common_name}", certs::show) // no command
        .delete("/certs/{common_name}", certs::remove) // deis certs:remove
        .get("/apps", apps::list) // deis apps:list
        .post("/apps", apps::create) // deis create
        .get("/apps/{app}", apps::show) // deis info, open
        .post("/apps/{app}", apps::transfer) // deis apps:transfer
        .delete("/apps/{app}", apps::destroy) // deis destroy
        .get("/apps/{app}/perms", perms::list) // deis perms:list
        .post("/apps/{app}/perms", perms::share) // deis perms:create
        .delete("/apps/{app}/perms/{username}", perms::unshare) // deis perms:delete
        .post("/apps/{app}/scale", scale::scale) // deis scale
        .post("/apps/{app}/run", run::run) // deis run
        .get("/apps/{app}/cron", cron::list) // no command
        .post("/apps/{app}/cron/{task}/run", cron::run) // no command
        .get("/apps/{app}/logs", logs::read) // deis logs
        .get("/apps/{app}/log-drains", log_drains::list) // no command
        .post("/apps/{app}/log-drains", log_drains::add) // no command
        .delete("/apps/{app}/log-drains/{uuid}", log_drains::remove) // no command
        .get("/apps/{app}/config", config::show) // deis config:list, limits:list, tags:list
        .post("/apps/{app}/config", config::change) // deis config:set, config:unset, limits:set, limits:unset, tags:set, tags:unset
        .get("/apps/{app}/builds", builds::list) // deis builds:list
        .post("/apps/{app}/builds", builds::create) // deis pull, builds:create
        .get("/apps/{app}/builds/{uuid}", builds::show) // no command
        .post("/apps/{app}/archives", archives::deploy) // no command
        .get("/apps/{app}/certs", certs::of_app) // no command
        .get("/apps/{app}/build-records", build_records::list) // no command
        .get("/apps/{app}/build-records/{uuid}", build_records::show) // no command
        .delete("/apps/{app}/build-records/{uuid}", build_records::cancel) // no command
        .get("/apps/{app}/build-records/{uuid}/log", build_records::log) // no command
        .get("/apps/{app}/releases", releases::list) // deis releases:list
        .post("/apps/{app}/releases/rollback", releases::rollback) // deis rollback
        .get("/apps/{app}/releases/{version}", releases::show) // deis releases:info
        .get("/apps/{app}/domains", domains::list) // deis domains:list, info, git:remote
        .post("/apps/{app}/domains", domains::add) // deis domains:add
        .delete("/apps/{app}/domains/{domain}", domains::remove) // deis domains:remove
        .get("/apps/{app}/routing", routing::show) // no command
        .patch("/apps/{app}/routing", routing::change) // no command
        .get("/apps/{app}/containers", containers::list) // deis ps, info, scale
        .post("/apps/{app}/containers/restart", restart::all) // deis ps:restart (API 1.3)
        .get("/apps/{app}/containers/restart", containers::list_of_type_restart) // no command
        .post("/apps/{app}/containers/{type}/restart", restart::of_type) // deis ps:restart web
        .post("/apps/{app}/containers/{type}/{num}/restart", restart::one) // deis ps:restart web.1
        .get("/apps/{app}/containers/{type}", containers::list_of_type) // no command
        .get("/apps/{app}/containers/{type}/{num}", containers::show) // no command
        .post_hook("/hooks/push", hooks::push) // no command
        .post_hook("/hooks/config", hooks::config) // no command
        .post_hook("/hooks/build", hooks::build) // no command
        .post_hook("/hooks/builds", hooks::build_as_documented) // no command
        .get_public("/openapi.json", openapi::serve) // no command
}
