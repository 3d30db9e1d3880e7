//! The record of an attempt to build: what was built, how long each part took, and how it ended.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::build::words;
use super::{AppId, BuildId, BuildStatus, Timestamp};

/// Where a build's source came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// A pushed commit.
    Commit,
    /// An uploaded archive.
    Archive,
    /// An image that was built elsewhere.
    Image,
}

words!(SourceKind, "source kind", Commit = "commit", Archive = "archive", Image = "image");

/// One part of a build or of the rollout after it, as the pusher saw it begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Its headline, without the arrow.
    pub name: String,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// What is known of one attempt to build.
#[derive(Debug, Clone)]
pub struct BuildRecord {
    /// Identity of the build, which may have come to nothing.
    pub id: BuildId,
    /// Whose build.
    pub app_id: AppId,
    /// Name of the user who asked for it.
    pub actor: String,
    /// Where the attempt stands. One that built an image whose rollout failed has failed, too.
    pub status: BuildStatus,
    /// Where the source came from.
    pub source_kind: SourceKind,
    /// Full id of the commit, or the image's reference.
    pub source: String,
    /// The earlier build whose image serves, because nothing had changed since.
    pub reused: Option<BuildId>,
    /// Digest of the image (`sha256:...`), once there is one: its registry's for a pulled one, else the engine's id of it.
    pub digest: Option<String>,
    /// Size of the image in bytes, with the layers that it shares with others.
    pub size_bytes: Option<i64>,
    /// What it went through, in order.
    pub phases: Vec<Phase>,
    /// Why it failed, empty otherwise.
    pub error: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `None` while it goes on.
    pub ended_at: Option<Timestamp>,
}
