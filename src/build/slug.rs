//! Packing a built tree into a slug: the same tree gives the same bytes, whatever order and time it comes with.

#[cfg(test)]
mod tests;

use std::io::{self, Write};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::BuildError;
use super::tree::Tree;

/// Time of everything in a slug, 1980-01-01, which the builder also gives to tools as `SOURCE_DATE_EPOCH`.
pub(super) const SLUG_MTIME: u32 = 315_532_800;

/// On 53 MB of Python's library level 3 takes half of level 6's time for 3 % more bytes.
const GZIP_LEVEL: Compression = Compression::new(3);

/// How much is compressed at once.
const CHUNK_BYTES: usize = 256 << 10;

/// A slug that has no name yet.
#[derive(Debug)]
pub(super) struct Packed {
    /// Where it lies.
    pub file: NamedTempFile,
    /// SHA-256 of the file, in hex.
    pub digest: String,
    /// Size of the file.
    pub size_bytes: u64,
}

/// Packs a tree into `file`. Blocking, and heavy on the processor.
///
/// # Errors
/// [`BuildError::SlugTooLarge`] beyond `limit_bytes`.
pub(super) fn pack(tree: &Tree, file: NamedTempFile, limit_bytes: u64) -> Result<Packed, BuildError> {
    let (digest, size_bytes) = compress(tree, &file, limit_bytes)?;
    Ok(Packed { file, digest, size_bytes })
}

/// Returns digest and size.
fn compress(tree: &Tree, file: &NamedTempFile, limit_bytes: u64) -> Result<(String, u64), BuildError> {
    let writing = |source: io::Error| match source.kind() {
        io::ErrorKind::FileTooLarge => BuildError::SlugTooLarge { limit_bytes },
        _ => BuildError::Io { action: "writing the slug".into(), source },
    };
    let counted = Counted { inner: io::BufWriter::new(file), digest: Sha256::new(), bytes: 0, limit_bytes };
    // Without being told more, GzBuilder writes no name, no time and "unknown system".
    let gzip = io::BufWriter::with_capacity(CHUNK_BYTES, GzBuilder::new().write(counted, GZIP_LEVEL));
    let gzip = tree.write(gzip, SLUG_MTIME.into()).and_then(|gzip| Ok(gzip.into_inner()?)).map_err(writing)?;
    let mut counted = GzEncoder::finish(gzip).map_err(writing)?;
    counted.flush().map_err(writing)?;
    Ok((hex::encode(counted.digest.finalize()), counted.bytes))
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
