//! What the builder's hooks answer (spec §15).

use serde::Serialize;

use super::Version;
use crate::model::{self, PushReport, ReportedPush};

#[derive(Serialize)]
pub(in crate::api::deis) struct Push {
    owner: String,
    app: String,
    sha: String,
    fingerprint: String,
    receive_user: String,
    receive_repo: String,
    ssh_connection: String,
    ssh_original_command: String,
    created: String,
    updated: String,
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
#[derive(Serialize)]
pub(in crate::api::deis) struct Built {
    pub release: Version,
    pub domains: [String; 1],
}
