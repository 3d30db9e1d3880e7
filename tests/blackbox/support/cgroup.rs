//! What bounds a process, as the kernel has it: its control groups, of either version.

use std::path::{Path, PathBuf};

/// Bounds of a process on this machine.
#[derive(Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Hard memory limit in bytes.
    pub memory_bytes: u64,
    /// CPU weight, in the shares that an engine is asked for; 1024 is usual.
    pub cpu_shares: u64,
}

impl Bounds {
    /// Reads those of a process.
    pub fn of(pid: i64) -> Self {
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("the process is there");
        match (group(&groups, "memory"), group(&groups, "cpu")) {
            (Some(memory), Some(cpu)) => Self {
                memory_bytes: number(&memory.join("memory.limit_in_bytes")),
                cpu_shares: number(&cpu.join("cpu.shares")),
            },
            _ => {
                let path = groups.lines().find_map(|line| line.strip_prefix("0::/")).expect("a group of version 2");
                let group = Path::new("/sys/fs/cgroup").join(path);
                let weight = number(&group.join("cpu.weight"));
                // How runtimes turn shares into a weight (OCI runtime, cgroup v2), backwards and rounded up.
                let cpu_shares = 2 + ((weight - 1) * 262_142).div_ceil(9_999);
                Self { memory_bytes: number(&group.join("memory.max")), cpu_shares }
            }
        }
    }

    /// Whether the CPU weight is that of so many shares. A weight of version 2 is coarser than shares.
    pub fn has_cpu_shares(&self, shares: u64) -> bool {
        self.cpu_shares.abs_diff(shares) <= 27
    }
}

/// The folder of the group of version 1 that some controller has.
fn group(groups: &str, controller: &str) -> Option<PathBuf> {
    groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let controllers = parts.next()?;
        let is_it = controllers.split(',').any(|one| one == controller);
        let path = parts.next()?.trim_start_matches('/');
        is_it.then(|| Path::new("/sys/fs/cgroup").join(controllers).join(path))
    })
}

fn number(file: &Path) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.trim().parse().unwrap_or_else(|_| panic!("{} holds '{}'", file.display(), text.trim()))
}
