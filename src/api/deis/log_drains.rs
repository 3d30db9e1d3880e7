//! Log drains: not in Deis, whose drains were the operator's; the shapes follow its other lists.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::body::Fields;
use super::error::Error;
use super::openapi::fields::{DRAIN_URL, body, text};
use super::page::{PageOf, Paging};
use super::path::{AppInPath, InPath};
use super::wire;
use crate::model::{DRAIN_URL_MAX, DrainUrl, InvalidDrainUrl, LogDrainId};
use crate::platform::Platform;

body! {
    /// A log drain to add.
    NewLogDrain:
        text("url").required().max(DRAIN_URL_MAX).pattern(DRAIN_URL)
            .says("`syslog://HOST:PORT` (TCP), `syslog+tls://HOST:PORT`, or the address of an HTTP or HTTPS receiver, which may hold a login.")
            .example("syslog+tls://logs.example.com:6514"),
}

/// List log drains
///
/// With what came of each since it was added or the server started. Logins and queries of addresses are not shown.
#[utoipa::path(
    get, path = "/apps/{app}/log-drains", tag = "log-drains",
    responses((status = 200, description = "The log drains.", body = PageOf<wire::LogDrain>))
)]
pub(super) async fn list(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    paging: Paging,
) -> Result<Json<PageOf<wire::LogDrain>>, Error> {
    paging.of(|page| platform.log_drains(&handle, page), |view| wire::LogDrain::new(handle.app(), view)).await
}

/// Add a log drain
///
/// From now on every line of the app's log goes there, too, in the format of RFC 5424. Over TCP and TLS each message has its
/// length before it (RFC 6587); over HTTP and HTTPS many go in one POST, as Heroku's logplex sends them. An app has at most
/// five.
#[utoipa::path(
    post, path = "/apps/{app}/log-drains", tag = "log-drains", request_body = NewLogDrain,
    responses((status = 201, description = "The log drain.", body = wire::LogDrain))
)]
pub(super) async fn add(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    fields: Fields,
) -> Result<(StatusCode, Json<wire::LogDrain>), Error> {
    let text = fields.required("url", DRAIN_URL_MAX)?;
    let url: DrainUrl = text.parse().map_err(|why: InvalidDrainUrl| Error::field("url", why.to_string()))?;
    let view = platform.add_log_drain(&handle, url).await?;
    Ok((StatusCode::CREATED, Json(wire::LogDrain::new(handle.app(), view))))
}

/// The part of the path that is a drain's id.
#[derive(Deserialize)]
pub(super) struct Named {
    uuid: String,
}

/// Remove a log drain
///
/// What it has not delivered yet is tried for two seconds more.
#[utoipa::path(
    delete, path = "/apps/{app}/log-drains/{uuid}", tag = "log-drains",
    responses((status = 204, description = "It is gone."))
)]
pub(super) async fn remove(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    InPath(named): InPath<Named>,
) -> Result<StatusCode, Error> {
    let id: LogDrainId = named.uuid.parse().map_err(|_| Error::NotFound)?;
    platform.remove_log_drain(&handle, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
