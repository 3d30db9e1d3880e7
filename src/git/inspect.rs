//! A look at a whole source before anything is done with it: does it keep within the limits, are its files all there?

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use git2::{Oid, Repository};

use super::names::shown;
use super::source::{MODE_FOLDER, MODE_SUBMODULE, MODE_SYMLINK, join};
use super::{GitError, Source, SourceLimits};

/// How a file of git-lfs begins that stands for another (git-lfs, docs/spec.md).
const LFS_HEAD: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";
/// Sizes of such a file: the spec says less than 1024, and version, oid and size take more than 100 bytes.
const LFS_BYTES: std::ops::Range<usize> = 100..1024;
/// How many of them are named.
const LFS_NAMED: usize = 3;
/// Longest target of a symbolic link: what Linux takes.
const MAX_TARGET: usize = 4095;

/// What a source holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspected {
    /// Files, folders, links and submodules.
    pub entries: u64,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// Files whose contents are elsewhere.
    pub lfs: LfsPointers,
    /// The first symbolic link whose relative target leads out of the tree, safe to print. Containers may have such links,
    /// but the engine takes none where it unpacks a tree into a folder.
    pub link_outside: Option<String>,
}

/// Files that git-lfs put a pointer in the place of: the contents are on another server, and a build gets the pointers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LfsPointers {
    /// How many there are.
    pub count: u64,
    /// The paths of the first three, safe to print.
    pub first: Vec<String>,
}

impl LfsPointers {
    /// What the pusher is told, line by line; nothing when there are none. The build goes on with the pointers, as it does
    /// on Heroku and Dokku: what they stand for may be documents or test data that it does not need.
    pub fn warning(&self) -> Vec<String> {
        if self.count == 0 {
            return Vec::new();
        }
        let more = self.count.saturating_sub(self.first.len() as u64);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let files = if self.count == 1 { "1 file is a pointer" } else { &format!("{} files are pointers", self.count) };
        vec![
            format!("{files} of git-lfs; the build gets the pointer instead of the content: {}{more}", self.first.join(", ")),
            "If the app needs the content, type: git lfs migrate export --include=PATH --everything, or fetch it in the build"
                .to_owned(),
        ]
    }
}

impl Source {
    /// Walks the whole tree, fetched submodules included, reading no more than sizes and small files that may be pointers.
    ///
    /// # Errors
    /// [`GitError::Refused`] or [`GitError::TooLarge`] as soon as a limit is passed: a few kilobytes of trees that hold each
    /// other may stand for any number of files. Also for names that lead out of the tree, which git's own check of what is
    /// pushed refuses as well.
    pub fn inspect(&self, limits: &SourceLimits) -> Result<Inspected, GitError> {
        let mut found = Inspected::default();
        self.visit(&mut |opened, path, mode, id| {
            found.entries += 1;
            if found.entries > limits.entries {
                return Err(refused(format!("The source has more than {} files and folders", limits.entries)));
            }
            check_path(path, limits)?;
            if matches!(mode, MODE_FOLDER | MODE_SUBMODULE) {
                return Ok(());
            }
            let size = size(opened, id)?;
            if size as u64 > limits.file_bytes {
                return Err(GitError::TooLarge { path: shown(path), size: size as u64, max: limits.file_bytes });
            }
            if mode == MODE_SYMLINK {
                let too_long = || refused(format!("The symbolic link '{}' has a target of {size} bytes", shown(path)));
                if size > MAX_TARGET {
                    return Err(too_long());
                }
                if found.link_outside.is_none() && leads_outside(opened, path, id)? {
                    found.link_outside = Some(shown(path));
                }
                return Ok(());
            }
            found.total_bytes += size as u64;
            if found.total_bytes > limits.total_bytes {
                let most = limits.total_bytes >> 20;
                return Err(refused(format!("The files of the source have more than {most} MiB together")));
            }
            if LFS_BYTES.contains(&size) && is_lfs_pointer(opened, id)? {
                found.lfs.count += 1;
                if found.lfs.first.len() < LFS_NAMED {
                    found.lfs.first.push(shown(path));
                }
            }
            Ok(())
        })?;
        Ok(found)
    }
}

fn check_path(path: &[u8], limits: &SourceLimits) -> Result<(), GitError> {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let refuse = |what: &str| Err(refused(format!("'{}' {what}", shown(path))));
    if name.len() > SourceLimits::NAME_BYTES {
        return refuse("has a name of more than 255 bytes, which no file system takes");
    }
    if path.len() > limits.path_bytes {
        return refuse(&format!("is a path of {} bytes; {} are taken", path.len(), limits.path_bytes));
    }
    Ok(())
}

fn refused(fault: String) -> GitError {
    GitError::Refused(format!("{fault}: change that in the repository, commit and push again."))
}

fn size(opened: &Repository, id: Oid) -> Result<usize, GitError> {
    let header = opened.odb().and_then(|odb| odb.read_header(id));
    header.map(|(size, _)| size).map_err(GitError::git("read a file of", opened.path()))
}

/// Whether the target of a link is relative and, by its letters, outside of the tree.
fn leads_outside(opened: &Repository, path: &[u8], id: Oid) -> Result<bool, GitError> {
    let blob = opened.find_blob(id).map_err(GitError::git("read a file of", opened.path()))?;
    let target = blob.content();
    let link = Path::new(OsStr::from_bytes(path));
    Ok(!target.starts_with(b"/") && join(link, Path::new(OsStr::from_bytes(target))).is_none())
}

fn is_lfs_pointer(opened: &Repository, id: Oid) -> Result<bool, GitError> {
    let blob = opened.find_blob(id).map_err(GitError::git("read a file of", opened.path()))?;
    let Some(rest) = blob.content().strip_prefix(LFS_HEAD) else { return Ok(false) };
    Ok(rest.starts_with(b"oid sha256:") || rest.windows(12).any(|part| part == b"\noid sha256:"))
}
