//! Quotas; Deis had none.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::model;
use crate::platform::QuotaViews;

/// What an account may have, and how much it has.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "quotas": {"apps": {"limit": 50, "used": 3, "own": false}, "memory": {"limit": null, "used": 1_610_612_736, "own": true}},
    "granted_ports": [25],
})))]
pub(in super::super) struct Quotas {
    /// By kind; sizes are bytes.
    quotas: BTreeMap<&'static str, Quota>,
    /// Ports of the host outside of the range for everybody that the account may publish.
    granted_ports: Vec<u16>,
}

/// One of them.
#[derive(Serialize, ToSchema)]
struct Quota {
    /// Null for none.
    #[schema(required)]
    limit: Option<u64>,
    used: u64,
    /// Whether an administrator set the limit for this account.
    own: bool,
}

impl From<QuotaViews> for Quotas {
    fn from(views: QuotaViews) -> Self {
        let quotas = views.quotas.into_iter().map(|view| {
            let limit = match view.limit {
                model::Quota::AtMost(limit) => Some(limit),
                model::Quota::Unlimited => None,
            };
            (view.kind.as_str(), Quota { limit, used: view.used, own: view.is_own })
        });
        Self { quotas: quotas.collect(), granted_ports: views.granted_ports }
    }
}
