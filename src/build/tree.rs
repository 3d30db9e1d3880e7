//! A built tree, read and checked: what a slug and an image are made of.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tar::{Archive, EntryType, Header};

use super::BuildError;
use super::slugignore::Slugignore;

/// Owner and group of everything in a slug: the user that slugs are built and run as.
pub(super) const SLUG_UID: u64 = 2000;

/// Most files and directories in a slug; bounds the memory of packing.
const ENTRIES_MAX: usize = 1_000_000;

/// How many hard links may lead to a file by way of each other; an engine writes them with one hop.
const LINK_HOPS_MAX: usize = 16;

/// Largest Procfile or `.release` that is looked at.
const SMALL_FILE_BYTES: u64 = 1 << 20;

/// How much of a file is read at once.
const CHUNK_BYTES: usize = 128 << 10;

/// The tree below `app`, in order of path, without what stays out. Its contents are read from the archive that it came in,
/// by as many readers at once as there are.
#[derive(Debug)]
pub(super) struct Tree {
    raw: File,
    entries: Vec<Entry>,
    /// The Procfile at its root.
    pub procfile: Option<Vec<u8>>,
    /// What the buildpack's `bin/release` said.
    pub release: Option<Vec<u8>>,
}

/// One file, link or directory of the tree, below `app`.
#[derive(Debug)]
struct Entry {
    path: Vec<u8>,
    mode: u32,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Directory,
    File { offset: u64, size: u64 },
    Symlink { target: Vec<u8> },
    HardLink { target: Vec<u8> },
}

impl Tree {
    /// Reads the tar archive `raw`, with entries below `app/`. Blocking.
    ///
    /// `.git` and what `ignore` lists stay out, as do sockets, pipes and devices. Of several names of one file the first in
    /// order has its contents, and the others are links to that one.
    ///
    /// # Errors
    /// [`BuildError::BadTree`] for an archive that no tree gives.
    pub fn read(mut raw: File, ignore: &Slugignore) -> Result<Self, BuildError> {
        let mut entries = read_entries(&mut raw)?;
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        check_tree(&entries)?;
        let procfile = small_file(&raw, &entries, b"app/Procfile")?;
        let release = small_file(&raw, &entries, b"app/.release")?;
        Ok(Self { raw, entries: chosen(entries, ignore)?, procfile, release })
    }

    /// Writes it as a tar archive whose entries have the time `mtime`, in seconds since the epoch; owner and form are fixed,
    /// modes kept without set-id bits. Blocking.
    ///
    /// # Errors
    /// Of `out`, and of the archive that the tree came in.
    pub fn write<W: Write>(&self, out: W, mtime: u64) -> io::Result<W> {
        let mut archive = tar::Builder::new(out);
        for entry in &self.entries {
            match entry.kind {
                Kind::File { offset, size } => {
                    let contents =
                        io::BufReader::with_capacity(CHUNK_BYTES, Contents { raw: &self.raw, offset, left: size });
                    append(&mut archive, entry, mtime, contents)?;
                }
                _ => append(&mut archive, entry, mtime, io::empty())?,
            }
        }
        archive.into_inner()
    }
}

/// The contents of one file, wherever other readers of the archive are.
struct Contents<'a> {
    raw: &'a File,
    offset: u64,
    left: u64,
}

impl Read for Contents<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.raw.read_at(&mut buffer[..most], self.offset)?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// Reads what the archive holds, without contents.
fn read_entries(raw: &mut File) -> Result<Vec<Entry>, BuildError> {
    let reading = || BuildError::io("reading the built tree");
    raw.seek(SeekFrom::Start(0)).map_err(reading())?;
    let mut archive = Archive::new(raw);
    let mut entries = Vec::new();
    for entry in archive.entries_with_seek().map_err(reading())? {
        let entry = entry.map_err(reading())?;
        let path = checked_path(&entry.path_bytes())?;
        let link = || entry.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
        let kind = match entry.header().entry_type() {
            EntryType::Directory => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => {
                Kind::File { offset: entry.raw_file_position(), size: entry.size() }
            }
            EntryType::Symlink => Kind::Symlink { target: link() },
            EntryType::Link => Kind::HardLink { target: checked_path(&link())? },
            EntryType::Char | EntryType::Block | EntryType::Fifo | EntryType::XGlobalHeader => continue,
            other => return Err(bad_tree(&path, &format!("is of the unknown type {other:?}"))),
        };
        let mode = entry.header().mode().map_err(reading())? & 0o777;
        entries.push(Entry { path, mode, kind });
        if entries.len() > ENTRIES_MAX {
            return Err(BuildError::BadTree(format!("it has more than {ENTRIES_MAX} files")));
        }
    }
    Ok(entries)
}

/// The path in its plain form; refuses whatever is not `app` or below it.
fn checked_path(path: &[u8]) -> Result<Vec<u8>, BuildError> {
    let plain = path.strip_prefix(b"./").unwrap_or(path);
    let plain = plain.strip_suffix(b"/").unwrap_or(plain);
    let mut parts = plain.split(|b| *b == b'/');
    let is_below_app = parts.next() == Some(b"app");
    if is_below_app && parts.all(|part| !matches!(part, b"" | b"." | b"..") && !part.contains(&0)) {
        Ok(plain.to_vec())
    } else {
        Err(bad_tree(path, "lies outside of /app"))
    }
}

/// Refuses a path that occurs twice, or lies below something that is no directory. Entries come sorted.
fn check_tree(entries: &[Entry]) -> Result<(), BuildError> {
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].path == pair[1].path) {
        return Err(bad_tree(&pair[0].path, "occurs twice"));
    }
    let leaves: HashSet<&[u8]> =
        entries.iter().filter(|entry| !matches!(entry.kind, Kind::Directory)).map(|entry| &*entry.path).collect();
    for entry in entries {
        let slashes = entry.path.iter().enumerate().filter(|(_, b)| **b == b'/');
        if slashes.into_iter().any(|(end, _)| leaves.contains(&entry.path[..end])) {
            return Err(bad_tree(&entry.path, "lies below something that is no directory"));
        }
    }
    Ok(())
}

/// For each file and hard link, by index: the index of the entry that has its contents.
fn resolve_hard_links(entries: &[Entry]) -> Result<HashMap<usize, usize>, BuildError> {
    let by_path: HashMap<&[u8], usize> = entries.iter().zip(0..).map(|(entry, index)| (&*entry.path, index)).collect();
    let follow = |mut index: usize| {
        for _ in 0..LINK_HOPS_MAX {
            match &entries[index].kind {
                Kind::File { .. } => return Some(index),
                Kind::HardLink { target } => index = *by_path.get(target.as_slice())?,
                Kind::Directory | Kind::Symlink { .. } => return None,
            }
        }
        None
    };
    let has_contents = |entry: &Entry| matches!(entry.kind, Kind::File { .. } | Kind::HardLink { .. });
    let files = entries.iter().enumerate().filter(|(_, entry)| has_contents(entry));
    files
        .map(|(index, entry)| match follow(index) {
            Some(root) => Ok((index, root)),
            None => Err(bad_tree(&entry.path, "is a hard link to no file of the tree")),
        })
        .collect()
}

fn is_left_out(entry: &Entry, ignore: &Slugignore) -> bool {
    let Some(path) = entry.path.strip_prefix(b"app/") else { return false };
    path.split(|b| *b == b'/').any(|part| part == b".git")
        || ignore.excludes(&String::from_utf8_lossy(path), matches!(entry.kind, Kind::Directory))
}

/// What is written: without what stays out, and hard links in their normal form.
fn chosen(mut entries: Vec<Entry>, ignore: &Slugignore) -> Result<Vec<Entry>, BuildError> {
    let contents = resolve_hard_links(&entries)?;
    let roots: HashMap<usize, (u64, u64, u32)> = contents
        .values()
        .filter_map(|root| match entries[*root].kind {
            Kind::File { offset, size } => Some((*root, (offset, size, entries[*root].mode))),
            _ => None,
        })
        .collect();
    let mut written: HashMap<usize, Vec<u8>> = HashMap::new();
    let mut all = Vec::with_capacity(entries.len());
    for (index, mut entry) in entries.drain(..).enumerate() {
        if is_left_out(&entry, ignore) {
            continue;
        }
        if let Some(root) = contents.get(&index) {
            let (offset, size, mode) = roots[root];
            entry.mode = mode;
            entry.kind = match written.get(root) {
                Some(first) => Kind::HardLink { target: first.clone() },
                None => {
                    written.insert(*root, entry.path.clone());
                    Kind::File { offset, size }
                }
            };
        }
        all.push(entry);
    }
    Ok(all)
}

/// Contents of a small regular file of the tree.
fn small_file(raw: &File, entries: &[Entry], path: &[u8]) -> Result<Option<Vec<u8>>, BuildError> {
    let found =
        entries.binary_search_by(|entry| entry.path.as_slice().cmp(path)).ok().map(|index| &entries[index].kind);
    let Some(Kind::File { offset, size }) = found else { return Ok(None) };
    if *size > SMALL_FILE_BYTES {
        return Err(bad_tree(path, "is larger than 1 MiB"));
    }
    let mut bytes = Vec::new();
    let mut contents = Contents { raw, offset: *offset, left: *size };
    contents.read_to_end(&mut bytes).map_err(BuildError::io("reading the built tree"))?;
    Ok(Some(bytes))
}

/// Appends one entry in its normal form.
fn append<W: Write>(archive: &mut tar::Builder<W>, entry: &Entry, mtime: u64, contents: impl Read) -> io::Result<()> {
    let (kind, mode, size) = match &entry.kind {
        Kind::Directory => (EntryType::Directory, entry.mode, 0),
        Kind::File { size, .. } => (EntryType::Regular, entry.mode, *size),
        Kind::Symlink { .. } => (EntryType::Symlink, 0o777, 0),
        Kind::HardLink { .. } => (EntryType::Link, entry.mode, 0),
    };
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(SLUG_UID);
    header.set_gid(SLUG_UID);
    header.set_mtime(mtime);
    let path = Path::new(OsStr::from_bytes(&entry.path));
    match &entry.kind {
        Kind::Symlink { target } | Kind::HardLink { target } => {
            // As it is: a shorter way to write the same target could be another target when a symlink is on the way.
            if header.set_link_name_literal(target).is_ok() {
                archive.append_data(&mut header, path, io::empty())
            } else {
                archive.append_link(&mut header, path, OsStr::from_bytes(target))
            }
        }
        Kind::Directory | Kind::File { .. } => archive.append_data(&mut header, path, contents),
    }
}

fn bad_tree(path: &[u8], problem: &str) -> BuildError {
    BuildError::BadTree(format!("'{}' {problem}", String::from_utf8_lossy(path).escape_debug()))
}
