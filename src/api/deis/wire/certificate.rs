//! Certificates, as the Deis API shows them (spec §12).

use serde::Serialize;

use crate::model;

/// A certificate, without itself and its key.
#[derive(Serialize)]
pub(in super::super) struct Certificate {
    id: i64,
    owner: String,
    common_name: String,
    expires: String,
    created: String,
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
