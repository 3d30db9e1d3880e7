//! The ready file: where this server answers, for scripts and tests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::keys::write_whole;

/// What the ready file says.
#[derive(Debug, Clone, Serialize)]
pub struct Ready {
    /// Address of the REST doors.
    pub api: String,
    /// Address of git over SSH.
    pub ssh: String,
    /// Address of the router.
    pub http: String,
    /// Address of the router for HTTPS.
    pub https: String,
    /// The server's process id.
    pub pid: u32,
}

/// Writes the file whole or not at all; anybody may read it.
pub fn write(path: &Path, ready: &Ready) -> Result<()> {
    let text = serde_json::to_string(ready).context("writing the ready file")?;
    let written = write_whole(path, format!("{text}\n").as_bytes())
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o644)));
    written.with_context(|| format!("writing the ready file {}", path.display()))
}
