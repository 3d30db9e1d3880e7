//! Domains (spec §11).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::body::Fields;
use super::error::Error;
use super::openapi::fields::{DOMAIN, body, text};
use super::page::{PageOf, Paging};
use super::path::{AppInPath, InPath, OwnAppInPath};
use super::wire;
use crate::model::{DomainName, InvalidDomainName};
use crate::platform::Platform;

body! {
    /// A domain to add.
    NewDomain:
        text("domain").required().max(253).pattern(DOMAIN)
            .says("A host name of at least two labels, or `*.` before one; not one of the server's own.")
            .example("www.example.com"),
}

/// List domains
///
/// Those that were added, in order of addition; `APP.DOMAIN` is not among them.
///
/// Client: `deis domains:list`, `deis info`, `deis git:remote`
#[utoipa::path(
    get, path = "/apps/{app}/domains", tag = "domains",
    responses((status = 200, description = "The domains.", body = PageOf<wire::Domain>))
)]
pub(super) async fn list(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    paging: Paging,
) -> Result<Json<PageOf<wire::Domain>>, Error> {
    paging.of(|page| platform.domains(&handle, page), |domain| wire::Domain::new(handle.app(), domain)).await
}

/// Add a domain
///
/// The app answers under it at once. A domain belongs to one app of the server; a wildcard stands for one label.
///
/// Client: `deis domains:add`
#[utoipa::path(
    post, path = "/apps/{app}/domains", tag = "domains", request_body = NewDomain,
    responses((status = 201, description = "The domain.", body = wire::Domain))
)]
pub(super) async fn add(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    fields: Fields,
) -> Result<(StatusCode, Json<wire::Domain>), Error> {
    let text = fields.required("domain", usize::MAX)?;
    let name = text.parse().map_err(|why| Error::Fields([("domain", messages(why))].into()))?;
    let domain = platform.add_domain(&handle, name).await?;
    Ok((StatusCode::CREATED, Json(wire::Domain::new(handle.app(), domain))))
}

/// Remove a domain
///
/// Client: `deis domains:remove`
#[utoipa::path(
    delete, path = "/apps/{app}/domains/{domain}", tag = "domains",
    responses((status = 204, description = "It is gone."))
)]
pub(super) async fn remove(
    State(platform): State<Platform>,
    OwnAppInPath(handle): OwnAppInPath,
    InPath((_, name)): InPath<(String, String)>,
) -> Result<StatusCode, Error> {
    let name: DomainName = name.parse().map_err(|_| Error::NotFound)?;
    platform.remove_domain(&handle, name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deis's texts for what is wrong with a name, with what it left unsaid behind them.
fn messages(why: InvalidDomainName) -> Vec<String> {
    let reason = match why {
        InvalidDomainName::Blank => return vec!["This field may not be blank.".to_owned()],
        InvalidDomainName::TooLong => return vec!["Hostname must be 255 characters or less.".to_owned()],
        InvalidDomainName::Malformed => None,
        InvalidDomainName::SingleLabel => Some("A domain has at least two labels, as in www.example.com."),
        InvalidDomainName::Address => Some("An IP address cannot be a domain."),
        InvalidDomainName::Wildcard => Some("A wildcard is a whole first label, as in *.example.com."),
    };
    ["Hostname does not look valid."].into_iter().chain(reason).map(str::to_owned).collect()
}
