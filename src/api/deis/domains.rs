//! Domains (spec §11).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::body::Fields;
use super::error::Error;
use super::page::{PageOf, Paging};
use super::path::{AppInPath, InPath, OwnAppInPath};
use super::wire;
use crate::model::{DomainName, InvalidDomainName};
use crate::platform::Platform;

/// `GET /apps/<app>/domains`
pub(super) async fn list(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    paging: Paging,
) -> Result<Json<PageOf<wire::Domain>>, Error> {
    paging.of(|page| platform.domains(&handle, page), |domain| wire::Domain::new(handle.app(), domain)).await
}

/// `POST /apps/<app>/domains`
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

/// `DELETE /apps/<app>/domains/<domain>`. What cannot be a domain is nobody's.
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
