//! Log drains, as this API shows them.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::deis::openapi::words::{Moment, Uuid};
use crate::model;
use crate::platform::LogDrainView;

/// A log drain of an app, and what came of it since it was added or the server started.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "app": "hello", "connected_since": "2014-01-01T00:00:00UTC", "created": "2014-01-01T00:00:00UTC",
    "delivered": 1200, "dropped": 0, "errors": 1,
    "last_error": "cannot connect to 203.0.113.7:6514: Connection refused (os error 111)",
    "url": "syslog+tls://logs.example.com:6514", "uuid": "de1bf5b5-4a72-4f94-a10c-d2a3741cdf75",
})))]
pub(in super::super) struct LogDrain {
    app: String,
    /// Since when the receiver takes lines; null while it does not.
    #[schema(value_type = Option<Moment>)]
    connected_since: Option<String>,
    #[schema(value_type = Moment)]
    created: String,
    /// Lines that the receiver took.
    delivered: u64,
    /// Lines that were lost, since the receiver was away or too slow for too long, or refused them.
    dropped: u64,
    /// Tries that failed.
    errors: u64,
    /// Why the last of them did.
    last_error: Option<String>,
    /// Where to; `***` stands for a login and for a query.
    url: String,
    #[schema(value_type = Uuid)]
    uuid: String,
}

impl LogDrain {
    pub(in super::super) fn new(app: &model::App, LogDrainView { drain, counts }: LogDrainView) -> Self {
        Self {
            app: app.name.to_string(),
            connected_since: counts.connected_since.map(model::Timestamp::deis),
            created: drain.created_at.deis(),
            delivered: counts.delivered,
            dropped: counts.dropped,
            errors: counts.errors,
            last_error: counts.last_error,
            url: drain.url.shown(),
            uuid: drain.id.to_string(),
        }
    }
}
