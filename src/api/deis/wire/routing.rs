//! Routing settings; Deis had none.

use serde::Serialize;
use utoipa::ToSchema;

use crate::model;

/// How the router treats an app's requests.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "maintenance": false, "maintenance_page": null, "https": "redirect", "hsts_seconds": 31_536_000, "hsts_subdomains": false,
    "sticky": false, "max_body_bytes": 1_073_741_824, "request_timeout_seconds": 60, "idle_timeout_seconds": 300,
    "max_connections": 4096, "access_log": true,
})))]
pub(in super::super) struct Routing {
    maintenance: bool,
    #[schema(required)]
    maintenance_page: Option<String>,
    #[schema(pattern = "^(optional|redirect)$")]
    https: &'static str,
    hsts_seconds: u32,
    hsts_subdomains: bool,
    sticky: bool,
    max_body_bytes: u64,
    request_timeout_seconds: u32,
    idle_timeout_seconds: u32,
    max_connections: u32,
    access_log: bool,
}

impl Routing {
    pub(in super::super) fn new(routing: model::Routing) -> Self {
        Self {
            maintenance: routing.maintenance,
            maintenance_page: routing.maintenance_page,
            https: routing.https.as_str(),
            hsts_seconds: routing.hsts_seconds,
            hsts_subdomains: routing.hsts_subdomains,
            sticky: routing.sticky,
            max_body_bytes: routing.max_body_bytes,
            request_timeout_seconds: routing.request_timeout_seconds,
            idle_timeout_seconds: routing.idle_timeout_seconds,
            max_connections: routing.max_connections,
            access_log: routing.access_log,
        }
    }
}
