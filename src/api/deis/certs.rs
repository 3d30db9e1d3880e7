//! Certificates (spec §12). What was uploaded is never part of an answer.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::Value;

use super::auth::Caller;
use super::body::{Fields, Problems};
use super::error::Error;
use super::page::{PageOf, Paging};
use super::path::InPath;
use super::wire;
use crate::model::CertificateName;
use crate::platform::{NewCertificate, Platform};

/// `GET /certs`
pub(super) async fn list(
    State(platform): State<Platform>,
    Caller(user): Caller,
    paging: Paging,
) -> Result<Json<PageOf<wire::Certificate>>, Error> {
    paging.of(|page| platform.certificates(&user, page), wire::Certificate::from).await
}

/// `POST /certs`
pub(super) async fn add(
    State(platform): State<Platform>,
    Caller(user): Caller,
    fields: Fields,
) -> Result<(StatusCode, Json<wire::Certificate>), Error> {
    let mut problems = Problems::default();
    let certificate = problems.noted(fields.required("certificate", usize::MAX));
    let key = problems.noted(fields.required("key", usize::MAX));
    let common_name = problems.noted(common_name(&fields));
    problems.into_result()?;
    let added = platform.add_certificate(&user, NewCertificate { certificate, key, common_name }).await?;
    Ok((StatusCode::CREATED, Json(added.into())))
}

/// `GET /certs/<common name>`
pub(super) async fn show(
    State(platform): State<Platform>,
    Caller(user): Caller,
    InPath(name): InPath<String>,
) -> Result<Json<wire::Certificate>, Error> {
    Ok(Json(platform.certificate(&user, &parse(&name)?).await?.into()))
}

/// `DELETE /certs/<common name>`
pub(super) async fn remove(
    State(platform): State<Platform>,
    Caller(user): Caller,
    InPath(name): InPath<String>,
) -> Result<StatusCode, Error> {
    platform.remove_certificate(&user, parse(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Optional, as from API 1.3 on, where clients that were given none may send an empty one.
fn common_name(fields: &Fields) -> Result<Option<String>, super::body::Problem> {
    if fields.value("common_name").is_none_or(Value::is_null) {
        return Ok(None);
    }
    Ok(fields.optional("common_name", usize::MAX)?.filter(|name| !name.is_empty()))
}

/// What cannot be a name is no certificate's.
fn parse(name: &str) -> Result<CertificateName, Error> {
    name.parse().map_err(|_| Error::NotFound)
}
