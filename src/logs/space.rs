//! Whether the disk has room for logs: they go before the apps and the database do.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two looks at the file system.
const LOOK: Duration = Duration::from_millis(500);
/// On a small file system, the floor is this part of it at most.
const PART: u64 = 20;

/// Looks after the free space where logs are kept.
pub(super) struct Space {
    root: PathBuf,
    /// Bytes that logs leave alone; 0 looks at nothing.
    floor: u64,
    /// When it was looked, and what was missing then.
    last: Mutex<Option<(Instant, Option<u64>)>>,
}

impl Space {
    pub(super) fn new(root: PathBuf, floor: u64) -> Self {
        Self { root, floor, last: Mutex::default() }
    }

    /// Refuses when logs would take the last of the disk. What cannot be looked at has room: the write itself will tell.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.floor == 0 {
            return Ok(());
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = match *last {
            Some((at, missing)) if at.elapsed() < LOOK => missing,
            _ => {
                let missing = self.missing().unwrap_or_default();
                *last = Some((Instant::now(), missing));
                missing
            }
        };
        let Some(floor) = missing else { return Ok(()) };
        let text = format!("less than {} MiB of disk space are left", floor >> 20);
        Err(io::Error::new(io::ErrorKind::StorageFull, text))
    }

    /// The floor, if there is less than that.
    fn missing(&self) -> io::Result<Option<u64>> {
        // The folder is made with the first line.
        let place = self.root.ancestors().find(|place| place.exists()).unwrap_or(Path::new("/"));
        let found = rustix::fs::statvfs(place)?;
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        let floor = self.floor.min(found.f_blocks.saturating_mul(found.f_frsize) / PART);
        Ok((free < floor).then_some(floor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_a_part_of_a_small_disk() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("not/there/yet");
        assert!(Space::new(root.clone(), 0).check().is_ok());
        assert!(Space::new(root.clone(), 1).check().is_ok());
        let found = rustix::fs::statvfs(folder.path()).unwrap();
        let (free, all) = (found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize);
        let is_enough = free >= all / PART;
        assert_eq!(Space::new(root, u64::MAX).check().is_ok(), is_enough, "{free} of {all}");
    }
}
