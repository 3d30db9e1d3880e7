//! Gives every entry of a tar archive the same new time, on its way through.
//!
//! Slugs are stored with a fixed time, so that the same input has the same digest. Web frameworks tell by a file's time and
//! size whether a browser's copy is current; with the fixed time they would answer "not modified" after a deploy.

use std::io::{self, Read};

const BLOCK: usize = 512;

/// Reads a tar archive with `mtime` (seconds since the epoch) in all its headers.
pub(super) struct Restamped<R> {
    inner: R,
    mtime: u64,
    header: [u8; BLOCK],
    /// How much of `header` has been read; all of it at the beginning.
    given: usize,
    /// Bytes of contents, padding included, until the next header.
    contents: u64,
}

impl<R: Read> Restamped<R> {
    pub(super) fn new(inner: R, mtime: u64) -> Self {
        Self { inner, mtime, header: [0; BLOCK], given: BLOCK, contents: 0 }
    }

    /// Takes the next header; says whether there was one.
    fn advance(&mut self) -> io::Result<bool> {
        let mut filled = 0;
        while filled < BLOCK {
            match self.inner.read(&mut self.header[filled..])? {
                0 if filled == 0 => return Ok(false),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
        self.given = 0;
        // The end of an archive is blocks of zeros.
        if self.header.iter().any(|byte| *byte != 0) {
            let mut header = tar::Header::new_gnu();
            header.as_mut_bytes().copy_from_slice(&self.header);
            header.set_mtime(self.mtime);
            header.set_cksum();
            self.contents = header.entry_size()?.next_multiple_of(BLOCK as u64);
            self.header.copy_from_slice(header.as_bytes());
        }
        Ok(true)
    }
}

impl<R: Read> Read for Restamped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == BLOCK && self.contents == 0 && !self.advance()? {
            return Ok(0);
        }
        if self.given < BLOCK {
            let count = buffer.len().min(BLOCK - self.given);
            buffer[..count].copy_from_slice(&self.header[self.given..self.given + count]);
            self.given += count;
            return Ok(count);
        }
        let most = usize::try_from(self.contents).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(&mut buffer[..most])?;
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.contents -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_entry_gets_the_time_and_keeps_the_rest() {
        let long = format!("app/{}", "x".repeat(200));
        let mut archive = tar::Builder::new(Vec::new());
        for (path, contents) in
            [("app/a", "hello".to_owned()), (long.as_str(), "y".repeat(1500)), ("app/empty", String::new())]
        {
            let mut header = tar::Header::new_gnu();
            header.set_size(contents.len() as u64);
            header.set_mode(0o640);
            header.set_mtime(1);
            archive.append_data(&mut header, Path::new(path), contents.as_bytes()).unwrap();
        }
        let old = archive.into_inner().unwrap();
        let mut read = Vec::new();
        for (path, mtime, mode, contents) in entries(Restamped::new(old.as_slice(), 1_700_000_000)) {
            assert_eq!((mtime, mode), (1_700_000_000, 0o640));
            read.push((path, contents));
        }
        let before: Vec<_> =
            entries(old.as_slice()).into_iter().map(|(path, _, _, contents)| (path, contents)).collect();
        assert_eq!(read, before);
        assert_eq!(read[1].0, long);
    }

    #[test]
    fn a_cut_archive_is_an_error() {
        let mut header = tar::Header::new_gnu();
        header.set_size(600);
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_data(&mut header, "a", [0; 600].as_slice()).unwrap();
        let whole = archive.into_inner().unwrap();
        let cut = Restamped::new(&whole[..700], 1).read_to_end(&mut Vec::new());
        assert_eq!(cut.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    fn entries(archive: impl Read) -> Vec<(String, u64, u32, String)> {
        let mut archive = tar::Archive::new(archive);
        let read = |entry: io::Result<tar::Entry<'_, _>>| {
            let mut entry = entry.unwrap();
            let (path, header) = (entry.path().unwrap().display().to_string(), entry.header().clone());
            let mut contents = String::new();
            entry.read_to_string(&mut contents).unwrap();
            (path, header.mtime().unwrap(), header.mode().unwrap(), contents)
        };
        archive.entries().unwrap().map(read).collect()
    }
}
