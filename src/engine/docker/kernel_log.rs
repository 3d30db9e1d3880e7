//! Which containers the kernel killed a process of for lack of memory, as it says in its own log.
//!
//! The engine learns that from a control group's notifications, and on some kernels it gets none.

use std::collections::{HashSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Mutex, PoisonError};

use rustix::fs::OFlags;

/// Where the kernel's log is read, one record at a time (Documentation/ABI/testing/dev-kmsg).
const LOG: &str = "/dev/kmsg";
/// Largest record.
const RECORD_BYTES: usize = 8192;
/// Most containers that are remembered.
const REMEMBERED: usize = 4096;
/// Length of a container's id.
const ID_LENGTH: usize = 64;

/// The kernel's log of this machine, read as far as it goes whenever somebody asks.
#[derive(Default)]
pub(super) struct KernelLog(Mutex<Known>);

#[derive(Default)]
struct Known {
    log: Option<File>,
    killed: HashSet<String>,
    order: VecDeque<String>,
}

impl KernelLog {
    /// Whether the memory limit of that container, by its full id, has had the kernel kill something. Never waits; `false` where the log
    /// may not be read.
    pub fn tells_of_a_kill_in(&self, container: &str) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.read();
        known.killed.contains(container)
    }
}

impl Known {
    fn read(&mut self) {
        if self.log.is_none() {
            let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
            self.log = OpenOptions::new().read(true).custom_flags(flags).open(LOG).ok();
        }
        let Some(mut log) = self.log.take() else { return };
        let mut record = [0; RECORD_BYTES];
        loop {
            match log.read(&mut record) {
                Ok(length) if length > 0 => self.take(&String::from_utf8_lossy(&record[..length])),
                // Records were overwritten before they were read: the next read goes on behind them.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        self.log = Some(log);
    }

    fn take(&mut self, record: &str) {
        let Some(container) = limited_container(record) else { return };
        if self.killed.insert(container.to_owned()) {
            self.order.push_back(container.to_owned());
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.killed.remove(&oldest);
            }
        }
    }
}

/// The container whose limit a record of a kill is about: the control group names it, with either driver of the engine.
fn limited_container(record: &str) -> Option<&str> {
    let record = &record[record.find("oom-kill:")?..];
    let group = record.split("oom_memcg=").nth(1)?.split(',').next()?;
    let is_id = |part: &&str| part.len() == ID_LENGTH && part.bytes().all(|b| b.is_ascii_hexdigit());
    group.split(['/', '-', '.']).find(is_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_names_the_container_whose_limit_it_was() {
        let id = "ab".repeat(32);
        let record = |group: &str| {
            format!(
                "6,1,2,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset={id},mems_allowed=0,\
                 oom_memcg={group},task_memcg=/docker/x,task=python3,pid=8851,uid=0\n"
            )
        };
        assert_eq!(limited_container(&record(&format!("/docker/{id}"))), Some(id.as_str()));
        assert_eq!(limited_container(&record(&format!("/system.slice/docker-{id}.scope"))), Some(id.as_str()));
        assert_eq!(limited_container(&record("/docker")), None, "all containers together had too little");
        assert_eq!(limited_container(&format!("6,1,2,-;oom_memcg=/docker/{id}")), None);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut known = Known::default();
        for n in 0..=REMEMBERED {
            known.take(&format!("oom-kill:oom_memcg=/docker/{n:064x},"));
        }
        assert_eq!((known.killed.len(), known.order.len()), (REMEMBERED, REMEMBERED));
        assert!(!known.killed.contains(&format!("{:064x}", 0)));
    }
}
