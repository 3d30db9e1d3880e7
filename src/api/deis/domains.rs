//! Domains (spec §11).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::body::Fields;
use super::error::Error;
use super::openapi::fields::{body, text};
use super::page::{PageOf, Paging};
use super::path::{AppInPath, InPath, OwnAppInPath};
use super::wire;
use crate::model::{DomainName, InvalidDomainName};
use crate::platform::Platform;

body! {
    /// A domain to add.
    NewDomain:
        text("domain").required().max(253).pattern(AS_TYPED)
            .says("A host name of at least two labels, or `*.` before one; not one of the server's own. `https://` before \
                   it is dropped, and a name in another script becomes punycode.")
            .example("www.example.com"),
}

/// A domain as people type it.
const AS_TYPED: &str = r"^\s*((([Hh][Tt][Tt][Pp]|[Ww])[Ss]?:)?//)?(\*\.)?([^\u0000-,/:-@\[-`{-\u007f.\u3002\uff0e\uff61]+[.\u3002\uff0e\uff61])+[^\u0000-,/:-@\[-`{-\u007f.\u3002\uff0e\uff61]+[.\u3002\uff0e\uff61]?/?\s*$";

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
    let name = DomainName::as_typed(&text).map_err(|why| Error::Fields([("domain", messages(&why))].into()))?;
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
    let name = DomainName::as_typed(&name).map_err(|_| Error::NotFound)?;
    platform.remove_domain(&handle, name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deis's texts for what is wrong with a name, with what it left unsaid behind them.
fn messages(why: &InvalidDomainName) -> Vec<String> {
    match why {
        InvalidDomainName::Blank => return vec!["This field may not be blank.".to_owned()],
        InvalidDomainName::TooLong => return vec!["Hostname must be 255 characters or less.".to_owned()],
        _ => {}
    }
    let mut reason = why.to_string();
    reason.replace_range(..1, &reason[..1].to_uppercase());
    vec!["Hostname does not look valid.".to_owned(), format!("{reason}.")]
}
