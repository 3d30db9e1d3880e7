//! Bounds all BuildKit builds together.
//!
//! BuildKit in the engine ignores the limits of a build request. It runs each `RUN` in a control group of its own below
//! `PARENT/buildkit`, where `PARENT` is the engine's default for containers; what is written on that common group holds
//! for all of them. With the systemd driver there is no such common group.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bollard::models::SystemInfoCgroupDriverEnum;

use super::act::Act;
use super::{CALL_LIMIT, Docker};
use crate::engine::{EngineError, Resources};

/// Where the kernel's control groups are mounted.
pub(super) const GROUPS: &str = "/sys/fs/cgroup";

/// Parent of the engine's control groups unless it was started with another one.
const DEFAULT_PARENT: &str = "docker";

/// The engine's own settings file.
const ENGINE_SETTINGS: &str = "/etc/docker/daemon.json";

/// The engine's default weight.
const DEFAULT_SHARES: i64 = 1024;

impl Docker {
    pub(super) async fn limit_builds(&self, resources: &Resources) -> Result<Option<PathBuf>, EngineError> {
        let act = Act::on("limiting", "image", "builds");
        let Some(group) = self.build_group().await? else { return Ok(None) };
        let resources = resources.clone();
        let written = tokio::task::spawn_blocking(move || write_limits(Path::new(GROUPS), &group, &resources));
        match written.await.map_err(|error| act.refused(error.to_string()))? {
            Ok(path) => Ok(Some(path)),
            Err((path, error)) if is_out_of_reach(&error) => {
                tracing::warn!(path = %path.display(), %error, "builds cannot be limited from here");
                Ok(None)
            }
            Err((path, source)) => {
                let action = format!("{} in {}", act.action(), path.display());
                Err(EngineError::Io { action, source })
            }
        }
    }
}

impl Docker {
    /// Name of the control group that all BuildKit builds run in, where there is one.
    pub(super) async fn build_group(&self) -> Result<Option<String>, EngineError> {
        let Some(socket) = &self.socket else { return Ok(None) };
        let act = Act::on("asking", "the engine", "about its control groups");
        let info = act.within(CALL_LIMIT, self.client.info()).await?;
        let has_common_group = info.cgroup_driver == Some(SystemInfoCgroupDriverEnum::CGROUPFS);
        let group = format!("{}/buildkit", cgroup_parent(socket).await.trim_matches('/'));
        Ok(has_common_group.then_some(group))
    }
}

fn is_out_of_reach(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::NotFound
    )
}

/// The engine's parent group, from its command line or settings.
async fn cgroup_parent(socket: &Path) -> String {
    let command_line = match engine_pid(socket).await {
        Some(pid) => tokio::fs::read(format!("/proc/{pid}/cmdline")).await.unwrap_or_default(),
        None => Vec::new(),
    };
    let settings = tokio::fs::read(ENGINE_SETTINGS).await.unwrap_or_default();
    configured_parent(&command_line, &settings).unwrap_or_else(|| DEFAULT_PARENT.to_owned())
}

/// Who listens on the socket (its first process when that opened it for the engine, which then has no such argument).
async fn engine_pid(socket: &Path) -> Option<i32> {
    tokio::net::UnixStream::connect(socket).await.ok()?.peer_cred().ok()?.pid()
}

fn configured_parent(command_line: &[u8], settings: &[u8]) -> Option<String> {
    let mut arguments = command_line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    while let Some(argument) = arguments.next() {
        if argument == "--cgroup-parent" {
            return arguments.next().map(|parent| parent.into_owned());
        }
        if let Some(parent) = argument.strip_prefix("--cgroup-parent=") {
            return Some(parent.to_owned());
        }
    }
    let settings: serde_json::Value = serde_json::from_slice(settings).ok()?;
    Some(settings.get("cgroup-parent")?.as_str()?.to_owned())
}

/// A file or folder, and what went wrong with it.
type Failure = (PathBuf, io::Error);

/// Writes the bounds on `group` below the mount at `root`, whichever version of control groups that is, creating the
/// group where the engine has not done so yet. Yields the group that bounds memory.
fn write_limits(root: &Path, group: &str, resources: &Resources) -> Result<PathBuf, Failure> {
    if root.join("cgroup.controllers").exists() {
        return write_unified(root, group, resources);
    }
    let memory = make_group(root.join("memory").join(group))?;
    let bytes = resources.memory_bytes.unwrap_or(-1).to_string();
    // Memory and memory with swap must never cross, on the way up or down: the first write fails on one of the ways.
    let with_swap = memory.join("memory.memsw.limit_in_bytes");
    let counts_swap = with_swap.exists();
    if counts_swap {
        let _ = fs::write(&with_swap, &bytes);
    }
    write(memory.join("memory.limit_in_bytes"), &bytes)?;
    if counts_swap {
        write(with_swap, &bytes)?;
    }
    let cpu = make_group(root.join("cpu").join(group))?;
    write(cpu.join("cpu.shares"), &resources.cpu_shares.unwrap_or(DEFAULT_SHARES).to_string())?;
    let pids = make_group(root.join("pids").join(group))?;
    write(pids.join("pids.max"), &number_or_max(resources.pids))?;
    Ok(memory)
}

/// Version 2: one tree, where each level has to pass the controllers on.
fn write_unified(root: &Path, group: &str, resources: &Resources) -> Result<PathBuf, Failure> {
    let mut level = root.to_owned();
    for name in group.split('/') {
        write(level.join("cgroup.subtree_control"), "+memory +cpu +pids")?;
        level = make_group(level.join(name))?;
    }
    write(level.join("memory.max"), &number_or_max(resources.memory_bytes))?;
    let swap = level.join("memory.swap.max");
    if swap.exists() {
        write(swap, if resources.memory_bytes.is_some() { "0" } else { "max" })?;
    }
    write(level.join("cpu.weight"), &cpu_weight(resources.cpu_shares.unwrap_or(DEFAULT_SHARES)).to_string())?;
    write(level.join("pids.max"), &number_or_max(resources.pids))?;
    Ok(level)
}

fn number_or_max(bound: Option<i64>) -> String {
    bound.map_or_else(|| "max".to_owned(), |bound| bound.to_string())
}

/// Shares (2 to 262144) on the scale of version 2 (1 to 10000), by the formula that runc uses.
fn cpu_weight(shares: i64) -> i64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

fn make_group(path: PathBuf) -> Result<PathBuf, Failure> {
    match fs::create_dir_all(&path) {
        Ok(()) => Ok(path),
        Err(error) => Err((path, error)),
    }
}

fn write(path: PathBuf, value: &str) -> Result<(), Failure> {
    // The kernel makes these files: where one is missing, so is its controller.
    let opened = fs::OpenOptions::new().write(true).open(&path);
    opened.and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes())).map_err(|error| (path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_parent_group_is_found() {
        let parent = |arguments: &[u8], settings: &[u8]| configured_parent(arguments, settings);
        assert_eq!(parent(b"dockerd\0", b""), None);
        assert_eq!(parent(b"dockerd\0--cgroup-parent\0/build\0", b"").as_deref(), Some("/build"));
        assert_eq!(parent(b"dockerd\0--cgroup-parent=a\0", br#"{"cgroup-parent":"b"}"#).as_deref(), Some("a"));
        assert_eq!(parent(b"dockerd\0", br#"{"cgroup-parent":"b"}"#).as_deref(), Some("b"));
        assert_eq!(parent(b"", br#"{"debug":true}"#), None);
    }

    #[test]
    fn shares_are_scaled_to_weights() {
        assert_eq!([2, 1024, 262_144].map(cpu_weight), [1, 39, 10_000]);
        assert_eq!([0, 1 << 40].map(cpu_weight), [1, 10_000]);
    }

    #[test]
    fn version_two_passes_controllers_on_and_forbids_swap() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let group = at("docker/buildkit");
        fs::create_dir_all(&group).unwrap();
        for file in ["cgroup.controllers", "cgroup.subtree_control", "docker/cgroup.subtree_control"] {
            fs::write(at(file), "").unwrap();
        }
        for file in ["memory.max", "memory.swap.max", "cpu.weight", "pids.max"] {
            fs::write(group.join(file), "").unwrap();
        }
        let resources = Resources { memory_bytes: Some(1 << 30), cpu_shares: Some(512), pids: None };
        assert_eq!(write_limits(root.path(), "docker/buildkit", &resources).unwrap(), group);
        let read = |path: PathBuf| fs::read_to_string(path).unwrap();
        assert_eq!(read(at("docker/cgroup.subtree_control")), "+memory +cpu +pids");
        assert_eq!(read(group.join("memory.max")), "1073741824");
        assert_eq!(read(group.join("memory.swap.max")), "0");
        assert_eq!(read(group.join("cpu.weight")), "20");
        assert_eq!(read(group.join("pids.max")), "max");
    }
}
