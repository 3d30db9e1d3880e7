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
