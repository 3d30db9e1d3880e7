//! The end of a container in which every process gets the time it was given.
//!
//! The engine signals the first process alone, its own init, which passes the signal on to its child and ends with it; the
//! kernel then kills whatever is left. A worker behind a script without `exec` so gets no signal and no time. Here the init
//! is held (SIGSTOP) while the others finish, and let go once they have. So is a first process of the image's own that takes
//! no notice of the signal: a shell that waits for its child. All that takes an engine on this machine and the right to
//! signal its processes; without them the engine's own way is all there is.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::ContainerInspectResponse;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::time::{Instant, sleep};

use super::Docker;
use super::limits::GROUPS;
use crate::engine::label;

/// The first wait between two looks at who is left, and the longest; it doubles.
const LOOK: Duration = Duration::from_millis(5);
const LONGEST_LOOK: Duration = Duration::from_millis(80);

/// What is left to be done for a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// What the engine does, in the time that is left.
    TheEngines,
    /// To kill it: nobody in it takes notice of the signal.
    AKill,
}

impl Docker {
    /// Asks the processes of a container to end and waits until they have, or until `deadline`. What is left then, the first
    /// process at least, is for the engine.
    pub(super) async fn farewell(&self, found: ContainerInspectResponse, deadline: Instant) -> Left {
        if self.socket.is_none() {
            return Left::TheEngines;
        }
        let seen = tokio::task::spawn_blocking(move || Household::of(&found)).await;
        let Ok(Some(mut household)) = seen else { return Left::TheEngines };
        let half_time = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
        if household.is_deaf_alone() {
            return Left::AKill;
        }
        let mut pause = LOOK;
        while Instant::now() < deadline {
            let is_half_over = Instant::now() >= half_time;
            let looked = tokio::task::spawn_blocking(move || {
                let is_over = household.part(is_half_over);
                (household, is_over)
            });
            let Ok((back, is_over)) = looked.await else { break };
            household = back;
            if is_over {
                break;
            }
            sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
            pause = (pause * 2).min(LONGEST_LOOK);
        }
        Left::TheEngines
    }
}

/// The processes of a container whose first one is held. Dropping this lets it go on.
struct Household {
    id: String,
    first: Pid,
    handle: OwnedFd,
    /// The kernel's list of them.
    list: PathBuf,
    /// Whether the first process is the engine's init.
    has_init: bool,
    /// Who is told first; the others are told when that one is gone. `None`: all are told.
    head: Option<Pid>,
    is_told: bool,
    /// Whether all are told at half-time, who conducts the others included.
    reaches_all: bool,
}

impl Household {
    /// Looks at a running container and holds its first process. `None` where the engine's way is right: where the image asks for
    /// another signal or its first process takes notice of this one, it knows who is meant; where we may not, we cannot.
    fn of(found: &ContainerInspectResponse) -> Option<Self> {
        let config = found.config.as_ref()?;
        let signal = config.stop_signal.as_deref().unwrap_or_default();
        if !["", "15", "TERM", "SIGTERM"].contains(&signal) {
            return None;
        }
        let has_init = found.host_config.as_ref()?.init == Some(true);
        let id = found.id.clone().filter(|id| !id.is_empty())?;
        let first = Pid::from_raw(i32::try_from(found.state.as_ref()?.pid?).ok()?)?;
        let list = list_of(Path::new(GROUPS), &of_process(first, "cgroup")?)?;
        let handle = open(&id, first)?;
        if !has_init && heeds_term(&of_process(first, "status")?) {
            return None;
        }
        let head = if has_init { Some(oldest_child(first, &members(&list).ok()?)?) } else { None };
        let reach = config.labels.as_ref().and_then(|labels| labels.get(label::TERM));
        let reaches_all = reach.is_some_and(|reach| reach == label::TERM_ALL);
        // A stop of what another one holds already is none; letting it go early costs the grace, and nothing else.
        pidfd_send_signal(&handle, Signal::STOP).ok()?;
        Some(Self { id, first, handle, list, has_init, head, is_told: false, reaches_all })
    }

    /// The kernel keeps from a first process what it has no handler for, so that it would sit the time out.
    fn is_deaf_alone(&self) -> bool {
        !self.has_init && members(&self.list).is_ok_and(|all| all == [self.first])
    }

    /// Tells whoever is to be told now; says whether nobody is left.
    fn part(&mut self, is_half_over: bool) -> bool {
        let Ok(mut others) = members(&self.list) else { return true };
        others.retain(|pid| *pid != self.first);
        if self.head.is_some_and(|head| !others.contains(&head) || (is_half_over && self.reaches_all)) {
            self.head = None;
            self.is_told = false;
        }
        if !self.is_told {
            self.is_told = true;
            self.tell(self.head.as_ref().map_or(&others[..], std::slice::from_ref));
        }
        others.is_empty()
    }

    fn tell(&self, members: &[Pid]) {
        for handle in members.iter().filter_map(|pid| open(&self.id, *pid)) {
            // It may be gone by now.
            let _ = pidfd_send_signal(handle, Signal::TERM);
        }
    }
}

impl Drop for Household {
    fn drop(&mut self) {
        let _ = pidfd_send_signal(&self.handle, Signal::CONT);
    }
}

/// A file of `/proc/PID`.
fn of_process(pid: Pid, file: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{}/{file}", pid.as_raw_nonzero())).ok()
}

/// Whether a process has a handler for SIGTERM, or waits for it with the signal blocked, by its `/proc/PID/status`.
fn heeds_term(status: &str) -> bool {
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
    };
    (mask("SigCgt:") | mask("SigBlk:")) & (1 << (Signal::TERM.as_raw() - 1)) != 0
}

/// A process of that container. The number is looked at once it cannot become another process's any more.
fn open(container: &str, pid: Pid) -> Option<OwnedFd> {
    let handle = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let groups = of_process(pid, "cgroup")?;
    groups.contains(container).then_some(handle)
}

/// The list of processes of the control group that `/proc/PID/cgroup` names, below the mount at `root`: version 2's only
/// one, or version 1's that counts processes.
fn list_of(root: &Path, groups: &str) -> Option<PathBuf> {
    groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
        let mount = match controllers {
            "" => root.to_owned(),
            _ if controllers.split(',').any(|name| name == "pids") => root.join("pids"),
            _ => return None,
        };
        Some(mount.join(path).join("cgroup.procs")).filter(|list| list.exists())
    })
}

/// Processes that are no zombies. A number of 0 is of a process that we cannot see.
fn members(list: &Path) -> io::Result<Vec<Pid>> {
    let text = fs::read_to_string(list)?;
    Ok(text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect())
}

/// The process that the init started: orphans become its children as well, but later.
fn oldest_child(init: Pid, members: &[Pid]) -> Option<Pid> {
    let born = |pid: &Pid| {
        let (parent, start) = lineage(&of_process(*pid, "stat")?)?;
        (parent == init.as_raw_nonzero().get()).then_some((start, *pid))
    };
    members.iter().filter_map(born).min_by_key(|(start, _)| *start).map(|(_, pid)| pid)
}

/// Parent and start time of a process, from its `/proc/PID/stat`. Its name, in brackets, may hold anything.
fn lineage(stat: &str) -> Option<(i32, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    Some((parent, fields.nth(17)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_processes_is_found_in_both_versions_of_control_groups() {
        let root = tempfile::tempdir().unwrap();
        let make = |path: &str| {
            fs::create_dir_all(root.path().join(path)).unwrap();
            fs::write(root.path().join(path).join("cgroup.procs"), "7\n0\n12\n").unwrap();
            root.path().join(path).join("cgroup.procs")
        };
        let second = make("system.slice/docker-abc.scope");
        let list = list_of(root.path(), "0::/system.slice/docker-abc.scope\n").unwrap();
        assert_eq!(list, second);
        let pids: Vec<_> = members(&list).unwrap().iter().map(|pid| pid.as_raw_nonzero().get()).collect();
        assert_eq!(pids, [7, 12]);
        let first = make("pids/docker/abc");
        let groups = "9:memory:/docker/abc\n8:cpu,cpuacct:/docker/abc\n5:pids:/docker/abc\n0::/elsewhere\n";
        assert_eq!(list_of(root.path(), groups), Some(first));
        assert_eq!(list_of(root.path(), "5:pids:/docker/gone\n"), None);
        assert_eq!(list_of(root.path(), "garbage\n\n:\n"), None);
    }

    #[test]
    fn a_handler_and_a_blocked_signal_take_notice() {
        let check = |blocked: &str, caught: &str, expect: bool| {
            let status = format!("Name:\tx\nSigBlk:\t{blocked}\nSigIgn:\t0000000000004000\nSigCgt:\t{caught}\n");
            assert_eq!(heeds_term(&status), expect, "{status}");
        };
        check("0000000000000000", "0000000000000000", false);
        check("0000000000000000", "0000000180014002", true);
        check("0000000000004000", "0000000000000000", true);
        check("0000000000010000", "0000000000010002", false);
        assert!(!heeds_term("garbage"));
    }

    #[test]
    fn parent_and_start_are_read_behind_any_name() {
        let rest = "S 41 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 1";
        for name in ["sh", "a b", ") S 1 2", "((("] {
            assert_eq!(lineage(&format!("42 ({name}) {rest}")), Some((41, 98765)), "{name}");
        }
        assert_eq!(lineage("42 (sh) S 41"), None);
        assert_eq!(lineage(""), None);
    }
}
