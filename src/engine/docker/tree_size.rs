//! How much disk a tree of files takes, while somebody hostile may be changing it.

use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, open, openat, statat};
use rustix::io::Errno;

/// Unit of `st_blocks` (stat(2)).
const BLOCK: u64 = 512;

/// How deep it looks: each level holds a file open.
const DEPTH_MAX: usize = 200;

/// Bytes on disk of all files below `root`, each file once, however many names it has. No link is followed and nothing is
/// opened but directories: what is swapped meanwhile leads nowhere else. What was counted after `limit` is the answer then;
/// what cannot be read, or lies deeper than 200 levels, counts nothing.
pub(super) fn tree_size(root: &Path, limit: Duration) -> u64 {
    let deadline = Instant::now() + limit;
    let Ok(root) = open(root, OPEN, Mode::empty()) else { return 0 };
    let mut linked = HashSet::new();
    let mut bytes = 0;
    let mut open_dirs: Vec<Dir> = Dir::new(root).into_iter().collect();
    loop {
        let may_go_down = open_dirs.len() < DEPTH_MAX;
        let Some(dir) = open_dirs.last_mut() else { break };
        if Instant::now() > deadline {
            break;
        }
        let Some(Ok(entry)) = dir.read() else {
            open_dirs.pop();
            continue;
        };
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let Ok(at) = dir.fd() else { continue };
        let Ok(found) = statat(at, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let file_type = FileType::from_raw_mode(found.st_mode);
        if file_type == FileType::Directory {
            bytes += found.st_blocks.unsigned_abs() * BLOCK;
            let below = may_go_down.then(|| open_below(at, name)).flatten();
            open_dirs.extend(below);
        } else if found.st_nlink == 1 || linked.insert(found.st_ino) {
            bytes += found.st_blocks.unsigned_abs() * BLOCK;
        }
    }
    bytes
}

const OPEN: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn open_below(at: rustix::fd::BorrowedFd<'_>, name: &CStr) -> Option<Dir> {
    let opened: Result<OwnedFd, Errno> = openat(at, name, OPEN, Mode::empty());
    Dir::new(opened.ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_counts_once_and_no_link_leads_out() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("large"), vec![1; 4 << 20]).unwrap();
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        let file = root.path().join("a/b/file");
        std::fs::write(&file, vec![1; 1 << 20]).unwrap();
        std::fs::hard_link(&file, root.path().join("again")).unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("out")).unwrap();
        let sparse = std::fs::File::create(root.path().join("sparse")).unwrap();
        sparse.set_len(1 << 40).unwrap();
        let size = tree_size(root.path(), Duration::from_secs(60));
        assert!((1 << 20..2 << 20).contains(&size), "{size}");
        assert_eq!(tree_size(&root.path().join("out"), Duration::from_secs(60)), 0);
        assert_eq!(tree_size(Path::new("/nowhere"), Duration::from_secs(60)), 0);
    }
}
