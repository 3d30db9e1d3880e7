//! Rebases: what became of each app when all of them were to move to a rebuilt run image.

use std::fmt;
use std::str::FromStr;

use super::AppId;
use super::build::words;

/// What a rebase did with an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebaseOutcome {
    /// It runs on the present run image now, as a new release.
    Rebased,
    /// There was nothing to do.
    Unneeded,
    /// It stays on its old release.
    Failed,
}

words!(RebaseOutcome, "rebase outcome", Rebased = "rebased", Unneeded = "unneeded", Failed = "failed");

/// What a rebase did with one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebaseResult {
    /// Which app.
    pub app_id: AppId,
    /// Its name at that time.
    pub app_name: String,
    /// What was done.
    pub outcome: RebaseOutcome,
    /// The release that it became, as `v4`; else why there is none.
    pub detail: String,
}
