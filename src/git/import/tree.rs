//! The tree that an archive's entries make, held in memory without the files' contents.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use super::super::names::{self, shown};
use super::super::{GitError, SourceLimits};
use super::refused;

/// Bytes of all names together that are held in memory.
const MAX_NAMES: usize = 64 << 20;
/// Links that may lead through each other: where Linux stops, too (path_resolution(7)).
const MAX_LINKS: usize = 40;
/// Steps that the search for links out of the tree may take in all. Links through links cost the more, the more there are.
const MAX_STEPS: usize = 20_000_000;
/// Longest target of a symbolic link: what Linux takes.
const MAX_TARGET: usize = 4095;

/// A folder's entries by name.
pub(super) type Folder = BTreeMap<Vec<u8>, Node>;

#[derive(Debug)]
pub(super) enum Node {
    Folder(Folder),
    File(File),
    /// With its target.
    Link(Vec<u8>),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct File {
    /// Number of its content among all contents.
    pub(super) mark: u64,
    pub(super) size: u64,
    pub(super) is_executable: bool,
}

/// A tree that grows, within limits.
pub(super) struct Tree {
    pub(super) root: Folder,
    limits: SourceLimits,
    entries: u64,
    total_bytes: u64,
    name_bytes: usize,
}

/// How a path came to hold what it holds now.
pub(super) enum Placed {
    /// It is new.
    New,
    /// There was a file before, which must be the same.
    Again(File),
}

impl Tree {
    pub(super) fn new(limits: SourceLimits) -> Self {
        Self { root: Folder::new(), limits, entries: 0, total_bytes: 0, name_bytes: 0 }
    }

    /// Takes `size` bytes off what is left for files; to be asked before they are read, and for each further name of a
    /// file.
    pub(super) fn admit(&mut self, path: &[u8], size: u64) -> Result<(), GitError> {
        let SourceLimits { file_bytes, total_bytes, .. } = self.limits;
        if size > file_bytes {
            let (path, most) = (shown(path), file_bytes >> 20);
            return Err(refused(format!("'{path}' has {size} bytes; a file may have {most} MiB. Leave it out")));
        }
        self.total_bytes += size;
        if self.total_bytes > total_bytes {
            let most = total_bytes >> 20;
            return Err(refused(format!(
                "its files have more than {most} MiB together, which is as much as a source may have. Leave out what the \
                 build does not need"
            )));
        }
        Ok(())
    }

    /// Puts `node` at `path`; missing folders are made.
    pub(super) fn insert(&mut self, path: &[u8], node: Node) -> Result<Placed, GitError> {
        let names = self.split(path)?;
        self.entries += 1;
        if self.entries > self.limits.entries {
            let most = self.limits.entries;
            return Err(refused(format!("it has more than {most} entries. Leave out what the build does not need")));
        }
        let Some((last, above)) = names.split_last() else {
            return match node {
                Node::Folder(_) => Ok(Placed::New),
                _ => Err(refused(format!("'{}' names no file", shown(path)))),
            };
        };
        let mut folder = &mut self.root;
        for name in above {
            self.name_bytes += name.len();
            let next = folder.entry(name.to_vec()).or_insert_with(|| Node::Folder(Folder::new()));
            folder = match next {
                Node::Folder(below) => below,
                Node::Link(_) => return Err(below_another(path, name, "a symbolic link")),
                Node::File(_) => return Err(below_another(path, name, "a file")),
            };
        }
        self.name_bytes += last.len();
        if self.name_bytes > MAX_NAMES {
            return Err(refused("its paths have more than 64 MiB together. Leave out what the build does not need"));
        }
        place(folder.entry(last.to_vec()), path, node)
    }

    /// The file at `path`, for a hard link to it.
    pub(super) fn file(&self, path: &[u8]) -> Result<Option<File>, GitError> {
        let mut folder = &self.root;
        let mut found = None;
        for name in self.split(path)? {
            match folder.get(name) {
                Some(Node::Folder(below)) => folder = below,
                Some(Node::File(file)) if found.is_none() => found = Some(*file),
                _ => return Ok(None),
            }
        }
        Ok(found)
    }

    /// The components of a path, each one harmless. `.` and doubled slashes are passed over.
    fn split<'a>(&self, path: &'a [u8]) -> Result<Vec<&'a [u8]>, GitError> {
        let refuse = |what: &str| Err(refused(format!("'{}' {what}", shown(path))));
        if path.starts_with(b"/") {
            return refuse(
                "is an absolute path. Make the archive inside of the folder: tar -czf app.tar.gz -C FOLDER .",
            );
        }
        if path.len() > self.limits.path_bytes {
            return refuse(&format!("is a path of {} bytes; {} are taken", path.len(), self.limits.path_bytes));
        }
        let names: Vec<_> = path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).collect();
        if names.len() > self.limits.depth {
            return refuse(&format!("lies {} folders deep; {} are taken", names.len() - 1, self.limits.depth));
        }
        for name in &names {
            if names::is_git_alias(name) {
                return refuse("is git's own, or looks like it. Leave it out: tar --exclude=.git ...");
            }
            if *name == b".." {
                return refuse(
                    "leads out of the archive. Make it inside of the folder: tar -czf app.tar.gz -C FOLDER .",
                );
            }
            if let Some(fault) = names::fault(name) {
                return refuse(fault);
            }
            if name.len() > SourceLimits::NAME_BYTES {
                return refuse("has a name of more than 255 bytes");
            }
        }
        Ok(names)
    }

    /// Makes the only folder at the top the root; a tree that has anything beside it is left as it is.
    pub(super) fn strip_top_folder(&mut self) {
        if self.root.len() == 1
            && let Some(Node::Folder(below)) = self.root.values_mut().next()
        {
            self.root = std::mem::take(below);
        }
    }

    /// Refuses symbolic links that lead out of the tree, directly or through other links. Those that lead nowhere, or in a
    /// circle, harm nobody.
    pub(super) fn check_links(&self) -> Result<(), GitError> {
        let mut steps = 0;
        each_link(&mut Vec::new(), &self.root, &mut Vec::new(), &mut |folders, path, target| match leads_out(
            folders, target, &mut steps,
        ) {
            Some(true) => Err(refused(format!(
                "the symbolic link '{}' leads out of the archive, to '{}'. Leave it out, or link to a file of the app",
                shown(path),
                shown(target)
            ))),
            Some(false) => Ok(()),
            None => Err(refused("its symbolic links lead through too many others. Leave some out")),
        })
    }
}

fn place(slot: Slot<'_, Vec<u8>, Node>, path: &[u8], node: Node) -> Result<Placed, GitError> {
    let slot = match slot {
        Slot::Vacant(slot) => {
            slot.insert(node);
            return Ok(Placed::New);
        }
        Slot::Occupied(slot) => slot,
    };
    match (slot.get(), node) {
        (Node::Folder(_), Node::Folder(_)) => Ok(Placed::New),
        (Node::Link(old), Node::Link(new)) if *old == new => Ok(Placed::New),
        (Node::File(old), Node::File(new)) if old.size == new.size && old.is_executable == new.is_executable => {
            Ok(Placed::Again(*old))
        }
        _ => Err(disagrees(path)),
    }
}

/// An entry comes twice, and not the same.
pub(super) fn disagrees(path: &[u8]) -> GitError {
    refused(format!("'{}' is in it twice, and not the same both times. Make the archive anew", shown(path)))
}

fn below_another(path: &[u8], name: &[u8], what: &str) -> GitError {
    refused(format!("'{}' lies below '{}', which is {what}. Make the archive anew", shown(path), shown(name)))
}

/// Takes the folders on the way to a link, the link's path, and its target.
type LinkVisitor<'a> = dyn FnMut(&[&Folder], &[u8], &[u8]) -> Result<(), GitError> + 'a;

/// Calls `each` with the folders from the root down to a link's own, the link's path, and its target. As deep as the limit
/// on folders allows, which no thread's stack minds.
fn each_link<'t>(
    folders: &mut Vec<&'t Folder>,
    folder: &'t Folder,
    path: &mut Vec<u8>,
    each: &mut LinkVisitor<'_>,
) -> Result<(), GitError> {
    folders.push(folder);
    for (name, node) in folder {
        let length = path.len();
        path.extend_from_slice(name);
        match node {
            Node::Folder(below) => {
                path.push(b'/');
                each_link(folders, below, path, each)?;
            }
            Node::Link(target) => each(folders, path, target)?,
            Node::File(_) => {}
        }
        path.truncate(length);
    }
    folders.pop();
    Ok(())
}

/// Whether a link with this target, in the last of `folders`, leads out of the first; `None` when that takes too long to
/// find out. Walks as the kernel does, through other links.
fn leads_out(folders: &[&Folder], target: &[u8], steps: &mut usize) -> Option<bool> {
    if target.starts_with(b"/") || target.is_empty() || target.len() > MAX_TARGET || target.contains(&0) {
        return Some(true);
    }
    // The folders on the way, `None` for one that does not exist; components still to walk, the next one last.
    let mut at: Vec<Option<&Folder>> = folders.iter().copied().map(Some).collect();
    let parts = |text: &[u8]| text.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (mut left, mut links) = (parts(target), 0);
    while let Some(name) = left.pop() {
        *steps += 1;
        if *steps > MAX_STEPS {
            return None;
        }
        match name.as_slice() {
            b"" | b"." => {}
            b".." => {
                at.pop();
                if at.is_empty() {
                    return Some(true);
                }
            }
            name => match at.last().copied().flatten().and_then(|folder| folder.get(name)) {
                Some(Node::Folder(below)) => at.push(Some(below)),
                Some(Node::Link(next)) => {
                    links += 1;
                    if next.starts_with(b"/") {
                        return Some(true);
                    }
                    if links > MAX_LINKS {
                        return Some(false);
                    }
                    left.extend(parts(next));
                }
                Some(Node::File(_)) | None => at.push(None),
            },
        }
    }
    Some(false)
}
