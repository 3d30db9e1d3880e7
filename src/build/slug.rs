//! Packing a built tree into a slug: the same tree gives the same bytes, whatever order and time it comes with.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use tar::{Archive, EntryType, Header};
use tempfile::NamedTempFile;

use super::BuildError;
use super::slugignore::Slugignore;

/// Owner and group of everything in a slug: the user that slugs are built and run as.
pub(super) const SLUG_UID: u64 = 2000;

/// Time of everything in a slug, 1980-01-01, which the builder also gives to tools as `SOURCE_DATE_EPOCH`.
pub(super) const SLUG_MTIME: u32 = 315_532_800;

/// Most files and directories in a slug; bounds the memory of packing.
const ENTRIES_MAX: usize = 1_000_000;

/// How many hard links may lead to a file by way of each other; an engine writes them with one hop.
const LINK_HOPS_MAX: usize = 16;

/// Largest Procfile or `.release` that is looked at.
const SMALL_FILE_BYTES: u64 = 1 << 20;

/// On 53 MB of Python's library level 3 takes half of level 6's time for 3 % more bytes.
const GZIP_LEVEL: Compression = Compression::new(3);

/// A slug that has no name yet.
#[derive(Debug)]
pub(super) struct Packed {
    /// Where it lies.
    pub file: NamedTempFile,
    /// SHA-256 of the file, in hex.
    pub digest: String,
    /// Size of the file.
    pub size_bytes: u64,
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

/// Packs the tar archive `raw`, with entries below `app/`, into `file`. Blocking, and heavy on the processor.
///
/// Entries are sorted by path; owner and time are fixed, modes kept without set-id bits. `.git` and what `ignore` lists
/// stay out, as do sockets, pipes and devices.
///
/// # Errors
/// [`BuildError::SlugTooLarge`] beyond `limit_bytes`; [`BuildError::BadTree`] for an archive that no tree gives.
pub(super) fn pack(
    raw: &mut File,
    file: NamedTempFile,
    ignore: &Slugignore,
    limit_bytes: u64,
) -> Result<Packed, BuildError> {
    let mut entries = read_entries(raw)?;
    entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    check_tree(&entries)?;
    let procfile = small_file(raw, &entries, b"app/Procfile")?;
    let release = small_file(raw, &entries, b"app/.release")?;
    let (digest, size_bytes) = write_slug(raw, &file, &entries, ignore, limit_bytes)?;
    Ok(Packed { file, digest, size_bytes, procfile, release })
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

/// Contents of a small regular file of the tree.
fn small_file(raw: &mut File, entries: &[Entry], path: &[u8]) -> Result<Option<Vec<u8>>, BuildError> {
    let found =
        entries.binary_search_by(|entry| entry.path.as_slice().cmp(path)).ok().map(|index| &entries[index].kind);
    let Some(Kind::File { offset, size }) = found else { return Ok(None) };
    if *size > SMALL_FILE_BYTES {
        return Err(bad_tree(path, "is larger than 1 MiB"));
    }
    let mut bytes = Vec::new();
    raw.seek(SeekFrom::Start(*offset)).map_err(BuildError::io("reading the built tree"))?;
    raw.take(*size).read_to_end(&mut bytes).map_err(BuildError::io("reading the built tree"))?;
    Ok(Some(bytes))
}

/// Writes the slug; yields its digest and size.
fn write_slug(
    raw: &mut File,
    file: &NamedTempFile,
    entries: &[Entry],
    ignore: &Slugignore,
    limit_bytes: u64,
) -> Result<(String, u64), BuildError> {
    let contents = resolve_hard_links(entries)?;
    let writing = |source: io::Error| match source.kind() {
        io::ErrorKind::FileTooLarge => BuildError::SlugTooLarge { limit_bytes },
        _ => BuildError::Io { action: "writing the slug".into(), source },
    };
    let counted = Counted { inner: io::BufWriter::new(file), digest: Sha256::new(), bytes: 0, limit_bytes };
    // Without being told more, GzBuilder writes no name, no time and "unknown system".
    let mut archive = tar::Builder::new(GzBuilder::new().write(counted, GZIP_LEVEL));
    let mut written: HashMap<usize, &[u8]> = HashMap::new();
    for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| !is_left_out(entry, ignore)) {
        let Some(root) = contents.get(&index) else {
            append(&mut archive, entry, io::empty()).map_err(writing)?;
            continue;
        };
        // The first name in order has the contents, further names are links to it.
        let (path, mode) = (entry.path.clone(), entries[*root].mode);
        match (written.get(root), &entries[*root].kind) {
            (Some(first), _) => {
                let link = Entry { path, mode, kind: Kind::HardLink { target: first.to_vec() } };
                append(&mut archive, &link, io::empty()).map_err(writing)?;
            }
            (None, Kind::File { offset, size }) => {
                let (offset, size) = (*offset, *size);
                raw.seek(SeekFrom::Start(offset)).map_err(writing)?;
                let named = Entry { path, mode, kind: Kind::File { offset, size } };
                append(&mut archive, &named, (&mut *raw).take(size)).map_err(writing)?;
                written.insert(*root, &entry.path);
            }
            (None, _) => unreachable!("contents lead to files"),
        }
    }
    let mut counted = archive.into_inner().and_then(GzEncoder::finish).map_err(writing)?;
    counted.flush().map_err(writing)?;
    Ok((hex::encode(counted.digest.finalize()), counted.bytes))
}

/// Appends one entry in its normal form.
fn append<W: Write>(archive: &mut tar::Builder<W>, entry: &Entry, contents: impl Read) -> io::Result<()> {
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
    header.set_mtime(SLUG_MTIME.into());
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

/// Counts and digests what goes through, up to a limit.
struct Counted<W> {
    inner: W,
    digest: Sha256,
    bytes: u64,
    limit_bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.digest.update(&bytes[..count]);
        self.bytes += count as u64;
        if self.bytes > self.limit_bytes { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(count) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
