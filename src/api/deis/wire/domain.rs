//! Domains, as the Deis API shows them (spec §11).

use serde::Serialize;

use crate::model;

/// A domain of an app.
#[derive(Serialize)]
pub(in super::super) struct Domain {
    app: String,
    created: String,
    domain: String,
    owner: String,
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
