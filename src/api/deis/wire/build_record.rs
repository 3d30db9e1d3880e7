//! Records of attempts to build. Slipway's own addition; the members follow those of a build (spec §6).

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::deis::openapi::words::{Moment, Uuid};
use crate::model;

/// An attempt to build.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "app": "hello", "owner": "bob", "uuid": "de1bf5b5-4a72-4f94-a10c-d2a3741cdf75", "status": "succeeded",
    "source_kind": "commit", "source": "060da68f654e75fac06dbedd1995d5f8ad9084db", "reused": null,
    "digest": "sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b", "size_bytes": 187432960,
    "phases": [{"name": "Python app detected", "seconds": 0.012}], "error": "",
    "created": "2014-01-01T00:00:00UTC", "ended": "2014-01-01T00:00:12UTC",
})))]
pub(in crate::api::deis) struct BuildRecord {
    app: String,
    /// Who asked for it.
    owner: String,
    #[schema(value_type = Uuid)]
    uuid: String,
    #[schema(value_type = String, pattern = "^(pending|succeeded|failed)$")]
    status: &'static str,
    #[schema(value_type = String, pattern = "^(commit|archive|image)$")]
    source_kind: &'static str,
    /// The commit's id, or the image's name.
    source: String,
    /// The earlier build whose image serves because nothing had changed.
    #[schema(value_type = Option<Uuid>)]
    reused: Option<String>,
    /// Digest of the image: its registry's for a pulled one, else the engine's id of it.
    digest: Option<String>,
    size_bytes: Option<i64>,
    /// What it went through, in order.
    phases: Vec<Phase>,
    /// Why it failed.
    error: String,
    #[schema(value_type = Moment)]
    created: String,
    #[schema(value_type = Option<Moment>)]
    ended: Option<String>,
}

/// A part of a build.
#[derive(Serialize, ToSchema)]
pub(in crate::api::deis) struct Phase {
    name: String,
    seconds: f64,
}

impl BuildRecord {
    pub(in crate::api::deis) fn new(app: &model::App, record: model::BuildRecord) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "no build takes longer than some millennia")]
        let phase = |phase: model::Phase| Phase { name: phase.name, seconds: phase.millis as f64 / 1000.0 };
        Self {
            app: app.name.to_string(),
            owner: record.actor,
            uuid: record.id.to_string(),
            status: record.status.as_str(),
            source_kind: record.source_kind.as_str(),
            source: record.source,
            reused: record.reused.map(|id| id.to_string()),
            digest: record.digest,
            size_bytes: record.size_bytes,
            phases: record.phases.into_iter().map(phase).collect(),
            error: record.error,
            created: record.started_at.deis(),
            ended: record.ended_at.map(model::Timestamp::deis),
        }
    }
}
