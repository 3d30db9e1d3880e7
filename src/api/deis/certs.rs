//! Certificates (spec §12). What was uploaded is never part of an answer.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::Value;

use super::auth::Caller;
use super::body::{Fields, Problems};
use super::error::Error;
use super::openapi::fields::{CERTIFICATE_NAME, body, text};
use super::page::{PageOf, Paging};
use super::path::{AppInPath, InPath};
use super::wire;
use crate::model::CertificateName;
use crate::platform::{NewCertificate, Platform};

body! {
    /// A certificate to add.
    NewCertificateFields:
        text("certificate").required().pattern(CERTIFICATE)
            .says("PEM: the certificate, then those that signed it, leaf first.")
            .example("-----BEGIN CERTIFICATE-----\nMIIB...\n-----END CERTIFICATE-----\n"),
        text("key").required().pattern(KEY)
            .says("PEM: PKCS#8, PKCS#1 or SEC1; RSA of 2048 bits or more, ECDSA or Ed25519; not encrypted.")
            .example("-----BEGIN PRIVATE KEY-----\nMIGH...\n-----END PRIVATE KEY-----\n"),
        text("common_name").pattern(CERTIFICATE_NAME).max(253)
            .says("What to call it: one of its names, instead of its own common name."),
}

/// How PEM looks from afar; what is in it is read, too.
const CERTIFICATE: &str = r"^[^\u0000]*-----BEGIN CERTIFICATE-----[^\u0000]+-----END CERTIFICATE-----[^\u0000]*$";
/// The same of a key.
const KEY: &str =
    r"^[^\u0000]*-----BEGIN ((RSA|EC) )?PRIVATE KEY-----[^\u0000]+-----END ((RSA|EC) )?PRIVATE KEY-----[^\u0000]*$";

/// List certificates
///
/// The caller's own, in order of upload. What was uploaded is in no answer.
///
/// Client: `deis certs:list`
#[utoipa::path(
    get, path = "/certs", tag = "certs",
    responses((status = 200, description = "The certificates.", body = PageOf<wire::Certificate>))
)]
pub(super) async fn list(
    State(platform): State<Platform>,
    Caller(user): Caller,
    paging: Paging,
) -> Result<Json<PageOf<wire::Certificate>>, Error> {
    paging.of(|page| platform.certificates(&user, page), wire::Certificate::from).await
}

/// Add a certificate
///
/// From now on it is shown to clients that ask by HTTPS for one of its names, if that is a domain of an app that the caller
/// may use. An administrator's is shown for all of its names.
///
/// Client: `deis certs:add`
#[utoipa::path(
    post, path = "/certs", tag = "certs", request_body = NewCertificateFields,
    responses((status = 201, description = "The certificate.", body = wire::Certificate))
)]
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

/// Show a certificate
#[utoipa::path(
    get, path = "/certs/{common_name}", tag = "certs",
    responses((status = 200, description = "The certificate.", body = wire::Certificate))
)]
pub(super) async fn show(
    State(platform): State<Platform>,
    Caller(user): Caller,
    InPath(name): InPath<String>,
) -> Result<Json<wire::Certificate>, Error> {
    Ok(Json(platform.certificate(&user, &parse(&name)?).await?.into()))
}

/// Remove a certificate
///
/// Client: `deis certs:remove`
#[utoipa::path(
    delete, path = "/certs/{common_name}", tag = "certs",
    responses((status = 204, description = "It is gone."))
)]
pub(super) async fn remove(
    State(platform): State<Platform>,
    Caller(user): Caller,
    InPath(name): InPath<String>,
) -> Result<StatusCode, Error> {
    platform.remove_certificate(&user, parse(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List an app's automatic certificates
///
/// How it stands with the certificates that the server gets by itself for the app's host names. Empty where it asks no
/// authority, and for names that an upload covers.
#[utoipa::path(
    get, path = "/apps/{app}/certs", tag = "certs",
    responses((status = 200, description = "One for each name.", body = PageOf<wire::AutomaticCertificate>))
)]
pub(super) async fn of_app(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    paging: Paging,
) -> Result<Json<PageOf<wire::AutomaticCertificate>>, Error> {
    paging.of(|page| platform.automatic_certificates(&handle, page), wire::AutomaticCertificate::from).await
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
    CertificateName::as_typed(name).ok_or(Error::NotFound)
}
