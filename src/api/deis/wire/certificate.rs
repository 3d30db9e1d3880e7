//! Certificates, as the Deis API shows them (spec §12).

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::deis::openapi::words::Moment;
use crate::model;

/// A certificate, without itself and its key.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "id": 1, "owner": "bob", "common_name": "www.example.com", "expires": "2014-04-01T00:00:00UTC",
    "created": "2014-01-01T00:00:00UTC", "updated": "2014-01-01T00:00:00UTC",
})))]
pub(in super::super) struct Certificate {
    id: i64,
    owner: String,
    common_name: String,
    #[schema(value_type = Moment)]
    expires: String,
    #[schema(value_type = Moment)]
    created: String,
    #[schema(value_type = Moment)]
    updated: String,
}

impl From<model::Certificate> for Certificate {
    fn from(certificate: model::Certificate) -> Self {
        Self {
            id: certificate.number,
            owner: certificate.owner.to_string(),
            common_name: certificate.common_name.to_string(),
            expires: certificate.expires_at.deis(),
            created: certificate.created_at.deis(),
            updated: certificate.created_at.deis(),
        }
    }
}

/// The certificate that the server gets for a host name.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "name": "www.example.com", "status": "valid", "expires": "2014-04-01T00:00:00UTC",
    "next_try": "2014-03-01T00:00:00UTC", "error": "", "updated": "2014-01-01T00:00:00UTC",
})))]
pub(in super::super) struct AutomaticCertificate {
    name: String,
    /// `valid` as soon as there is one, also while the next one fails to come.
    #[schema(value_type = String, pattern = "^(pending|valid|failed)$")]
    status: &'static str,
    #[schema(value_type = Option<Moment>)]
    expires: Option<String>,
    /// When the authority is asked for the first one, again, or for the one after this.
    #[schema(value_type = Moment)]
    next_try: String,
    /// Why the last try failed.
    error: String,
    #[schema(value_type = Moment)]
    updated: String,
}

impl From<model::AutomaticCertificate> for AutomaticCertificate {
    fn from(certificate: model::AutomaticCertificate) -> Self {
        let status = match &certificate {
            valid if valid.is_valid(model::Timestamp::now()) => "valid",
            failed if failed.failures > 0 => "failed",
            _ => "pending",
        };
        Self {
            name: certificate.name.to_string(),
            status,
            expires: certificate.expires_at.map(model::Timestamp::deis),
            next_try: certificate.next_try_at.deis(),
            error: certificate.last_error,
            updated: certificate.updated_at.deis(),
        }
    }
}
