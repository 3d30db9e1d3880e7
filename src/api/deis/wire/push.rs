//! What the builder's hooks answer (spec §15).

use serde::Serialize;
use utoipa::ToSchema;

use super::Version;
use crate::api::deis::openapi::words::{Moment, Uuid};
use crate::model::{self, PushReport, ReportedPush};

/// A push that the builder reported.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "owner": "bob", "app": "hello", "sha": "060da68f", "fingerprint": "c8:0b:5d:3e:5a:1f:0e:2b:7d:8c:9a:4f:6e:1d:2c:3b",
    "receive_user": "bob", "receive_repo": "hello", "ssh_connection": "192.0.2.1 50337 192.0.2.2 2222",
    "ssh_original_command": "git-receive-pack 'hello.git'", "created": "2014-01-01T00:00:00UTC",
    "updated": "2014-01-01T00:00:00UTC", "uuid": "de1bf5b5-4a72-4f94-a10c-d2a3741cdf75",
})))]
pub(in crate::api::deis) struct Push {
    owner: String,
    app: String,
    sha: String,
    fingerprint: String,
    receive_user: String,
    receive_repo: String,
    ssh_connection: String,
    ssh_original_command: String,
    #[schema(value_type = Moment)]
    created: String,
    #[schema(value_type = Moment)]
    updated: String,
    #[schema(value_type = Uuid)]
    uuid: String,
}

impl Push {
    pub(in crate::api::deis) fn new(app: &model::App, report: PushReport, push: &ReportedPush) -> Self {
        Self {
            owner: report.receive_user.clone(),
            app: app.name.to_string(),
            sha: report.sha,
            fingerprint: report.fingerprint,
            receive_user: report.receive_user,
            receive_repo: report.receive_repo,
            ssh_connection: report.ssh_connection,
            ssh_original_command: report.ssh_original_command,
            created: push.created_at.deis(),
            updated: push.created_at.deis(),
            uuid: push.id.to_string(),
        }
    }
}

/// The release that a reported build became, and where it answers.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"release": {"version": 3}, "domains": ["hello.example.com"]})))]
pub(in crate::api::deis) struct Built {
    pub release: Version,
    pub domains: [String; 1],
}
