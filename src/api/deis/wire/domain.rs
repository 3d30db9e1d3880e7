//! Domains, as the Deis API shows them (spec §11).

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::deis::openapi::words::Moment;
use crate::model;

/// A domain of an app.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "app": "hello", "created": "2014-01-01T00:00:00UTC", "domain": "www.example.com", "owner": "bob",
    "updated": "2014-01-01T00:00:00UTC",
})))]
pub(in super::super) struct Domain {
    app: String,
    #[schema(value_type = Moment)]
    created: String,
    domain: String,
    owner: String,
    #[schema(value_type = Moment)]
    updated: String,
}

impl Domain {
    pub(in super::super) fn new(app: &model::App, domain: model::Domain) -> Self {
        Self {
            app: app.name.to_string(),
            created: domain.created_at.deis(),
            domain: domain.name.to_string(),
            owner: domain.owner.to_string(),
            updated: domain.created_at.deis(),
        }
    }
}
