//! A tar archive as a strict reader sees it: one entry after the other, nothing guessed, nothing larger than allowed.
//!
//! Formats: POSIX.1-2001 (`pax`), ustar, GNU long names (`tar(5)`). What an archive can say in two ways has to agree, so
//! that no other reader could see something else in it.

use std::io::{self, ErrorKind, Read};

use tar::{EntryType, Header};

use super::super::GitError;
use super::super::names::shown;
use super::refused;

const BLOCK: usize = 512;
/// Largest extension header: a path of 4 KiB, a link target of as much, and what else file systems keep.
const MAX_EXTENSION: u64 = 64 * 1024;

/// One file, folder or link of an archive.
pub(super) struct Entry {
    /// As the archive has it.
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    /// Of a file, in bytes; 0 for all others.
    pub(super) size: u64,
    pub(super) is_executable: bool,
    /// Modification time, seconds since the epoch.
    pub(super) mtime: u64,
}

pub(super) enum Kind {
    File,
    Folder,
    /// With its target.
    Symlink(Vec<u8>),
    /// With the path of the file that it is another name of.
    HardLink(Vec<u8>),
}

/// Reads entries, and the content of the last one in between.
pub(super) struct Reader<R> {
    input: Bounded<R>,
    /// Content of the present entry that is still to be read, and what fills up its last block.
    content: u64,
    padding: u64,
}

/// What extension headers say of the entry behind them.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<R: Read> Reader<R> {
    /// Reads `input`, unpacked already, up to `max_bytes`.
    pub(super) fn new(input: R, max_bytes: u64) -> Self {
        Self { input: Bounded { input, left: max_bytes, max: max_bytes }, content: 0, padding: 0 }
    }

    /// The next entry, past what was not read of the one before; `None` at the archive's end mark, with all behind it read
    /// as well, so that a checksum at the very end has been compared.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, GitError> {
        let mut extensions = Extensions::default();
        loop {
            self.skip_content()?;
            let block = self.block()?;
            if block.iter().all(|byte| *byte == 0) {
                io::copy(&mut self.input, &mut io::sink()).map_err(|error| self.unreadable(&error))?;
                return Ok(None);
            }
            let header = Header::from_byte_slice(&block);
            if !has_checksum(header) {
                return Err(refused("it is damaged, or no tar archive: a header has the wrong checksum"));
            }
            let size = header.entry_size().map_err(|_| refused("it is damaged: a header has no readable size"))?;
            self.content = size;
            self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
            match header.entry_type() {
                EntryType::XHeader => extensions.read_pax(&self.extension()?)?,
                EntryType::XGlobalHeader => refuse_global(&self.extension()?)?,
                EntryType::GNULongName => extensions.path = Some(until_zero(self.extension()?)?),
                EntryType::GNULongLink => extensions.target = Some(until_zero(self.extension()?)?),
                kind => return self.entry(header, kind, extensions).map(Some),
            }
        }
    }

    fn entry(&self, header: &Header, kind: EntryType, extensions: Extensions) -> Result<Entry, GitError> {
        let path = extensions.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let shown = shown(&path);
        let said = extensions.size.unwrap_or(self.content);
        if said != self.content {
            return Err(refused(format!("'{shown}' has two sizes, {} and {said} bytes", self.content)));
        }
        let target = extensions.target.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        let ends_as_folder = path.ends_with(b"/");
        let kind = match kind {
            // Archives older than ustar mark folders by their names only.
            EntryType::Regular | EntryType::Continuous if ends_as_folder => Kind::Folder,
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Directory => Kind::Folder,
            EntryType::Symlink => Kind::Symlink(target.unwrap_or_default()),
            EntryType::Link => Kind::HardLink(target.unwrap_or_default()),
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                return Err(refused(format!(
                    "'{shown}' is a device or a named pipe; only files, folders and links are taken. Leave it out"
                )));
            }
            EntryType::GNUSparse => {
                return Err(refused(format!("'{shown}' is stored as a sparse file. Make it without tar's --sparse")));
            }
            other => {
                return Err(refused(format!(
                    "'{shown}' is of the type '{}', which is neither file nor folder nor link. Leave it out",
                    shown_type(other)
                )));
            }
        };
        if self.content > 0 && !matches!(kind, Kind::File) {
            return Err(refused(format!("'{shown}' is a folder or a link and yet has content")));
        }
        let damaged = |_| refused(format!("it is damaged: the header of '{shown}' has no readable mode"));
        let is_executable = header.mode().map_err(damaged)? & 0o100 != 0;
        Ok(Entry { kind, size: self.content, is_executable, mtime: header.mtime().unwrap_or(0), path })
    }

    /// Hands the content of the present entry on in chunks.
    pub(super) fn content(&mut self, mut take: impl FnMut(&[u8]) -> Result<(), GitError>) -> Result<(), GitError> {
        let mut buffer = [0; 64 * 1024];
        while self.content > 0 {
            let wanted = usize::try_from(self.content).unwrap_or(usize::MAX).min(buffer.len());
            self.input.read_exact(&mut buffer[..wanted]).map_err(|error| self.unreadable(&error))?;
            self.content -= wanted as u64;
            take(&buffer[..wanted])?;
        }
        Ok(())
    }

    fn skip_content(&mut self) -> Result<(), GitError> {
        self.content(|_| Ok(()))?;
        let mut filling = [0; BLOCK];
        let length = usize::try_from(self.padding).unwrap_or(0);
        self.padding = 0;
        self.input.read_exact(&mut filling[..length]).map_err(|error| self.unreadable(&error))
    }

    fn block(&mut self) -> Result<[u8; BLOCK], GitError> {
        let mut block = [0; BLOCK];
        self.input.read_exact(&mut block).map_err(|error| self.unreadable(&error))?;
        Ok(block)
    }

    fn extension(&mut self) -> Result<Vec<u8>, GitError> {
        if self.content > MAX_EXTENSION {
            return Err(refused(format!("an extension header has {} bytes", self.content)));
        }
        let mut bytes = Vec::new();
        self.content(|chunk| {
            bytes.extend_from_slice(chunk);
            Ok(())
        })?;
        Ok(bytes)
    }

    fn unreadable(&self, error: &io::Error) -> GitError {
        match error.kind() {
            ErrorKind::FileTooLarge => refused(format!(
                "unpacked it has more than {} MiB, which is as much as a source may have. Leave out what the build does \
                 not need",
                self.input.max >> 20
            )),
            ErrorKind::UnexpectedEof => refused("it is cut off before its end. Upload it again"),
            _ => refused(format!("it cannot be read to its end: {error}. Upload it again")),
        }
    }
}

impl Extensions {
    /// Records of the form `LENGTH KEY=VALUE\n`, the length counting all of it; a later one wins (pax(1), "Extended
    /// header").
    fn read_pax(&mut self, mut bytes: &[u8]) -> Result<(), GitError> {
        while let Some((key, value, rest)) = pax_record(bytes)? {
            bytes = rest;
            if value.contains(&0) {
                return Err(refused(format!("an extension header has a zero byte in '{}'", shown(key))));
            }
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.target = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    self.size = Some(size.ok_or_else(|| refused("an extension header has no readable size"))?);
                }
                _ if key.starts_with(b"GNU.sparse.") => {
                    return Err(refused("it holds a sparse file. Make it without tar's --sparse"));
                }
                // Times, owners, attributes: nothing that a tree of git keeps.
                _ => {}
            }
        }
        Ok(())
    }
}

/// `git archive` notes the commit in a global header; one that renames or resizes every entry behind it is a trick.
fn refuse_global(mut bytes: &[u8]) -> Result<(), GitError> {
    while let Some((key, _, rest)) = pax_record(bytes)? {
        bytes = rest;
        if matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse.") {
            return Err(refused(format!("a global header sets the '{}' of all entries", shown(key))));
        }
    }
    Ok(())
}

/// Key, value and what is behind them.
type PaxRecord<'a> = (&'a [u8], &'a [u8], &'a [u8]);

fn pax_record(bytes: &[u8]) -> Result<Option<PaxRecord<'_>>, GitError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let parse = || {
        let blank = bytes.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&bytes[..blank]).ok()?.parse().ok()?;
        let record = bytes.get(blank + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        Some((&record[..equals], &record[equals + 1..], &bytes[length..]))
    };
    parse().map(Some).ok_or_else(|| refused("it is damaged: an extension header cannot be read"))
}

/// A GNU long name: a C string, with nothing behind its zero.
fn until_zero(mut bytes: Vec<u8>) -> Result<Vec<u8>, GitError> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    if bytes[end..].iter().any(|byte| *byte != 0) {
        return Err(refused("a long name has a zero byte in it"));
    }
    bytes.truncate(end);
    Ok(bytes)
}

/// The sum of all bytes of a header, those of the sum itself taken as blanks.
fn has_checksum(header: &Header) -> bool {
    let bytes = header.as_bytes();
    let sum: u32 = bytes[..148].iter().chain(&bytes[156..]).map(|byte| u32::from(*byte)).sum();
    header.cksum().is_ok_and(|said| said == sum + 8 * u32::from(b' '))
}

fn shown_type(kind: EntryType) -> String {
    shown(&[kind.as_byte()])
}

/// Fails with [`ErrorKind::FileTooLarge`] when there is more than allowed.
struct Bounded<R> {
    input: R,
    left: u64,
    max: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or(ErrorKind::FileTooLarge)?;
        Ok(read)
    }
}
