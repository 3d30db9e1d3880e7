//! Releases: numbered, immutable pairs of build and config.

use std::fmt;
use std::str::FromStr;

use super::build::words;
use super::{AppId, BuildId, ConfigId, ReleaseId, Timestamp, UserId, Username};

/// Where a release stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseStatus {
    /// Cut, not yet switched to. Unwound if its rollout fails or its server dies before the switch.
    Pending,
    /// It served, or still does.
    Deployed,
}

words!(ReleaseStatus, "release status", Pending = "pending", Deployed = "deployed");

/// One (build, config) pair of an app. Nothing but its status ever changes.
#[derive(Debug, Clone)]
pub struct Release {
    /// Stable identity.
    pub id: ReleaseId,
    /// Whose release.
    pub app_id: AppId,
    /// Who caused it.
    pub owner_id: UserId,
    /// The causer's name, for display.
    pub owner: Username,
    /// 1 and up, without gaps among the deployed ones.
    pub version: i64,
    /// What runs; `None` until the first build.
    pub build_id: Option<BuildId>,
    /// What it runs with.
    pub config_id: ConfigId,
    /// Where it stands.
    pub status: ReleaseStatus,
    /// What changed against the release before it.
    pub summary: String,
    /// When it was cut.
    pub created_at: Timestamp,
    /// When its status last changed.
    pub updated_at: Timestamp,
}
