//! How large a source may be, however it comes.

/// What bounds a source: a pushed tree with its submodules, or an uploaded archive.
///
/// A few kilobytes of objects or of gzip may stand for any number of files of any size, so what was received says nothing
/// of what would be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceLimits {
    /// Files, folders and links together.
    pub entries: u64,
    /// Bytes of all files together.
    pub total_bytes: u64,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of one path. Linux takes 4095 from the root of a file system; the source will lie some folders deep.
    pub path_bytes: usize,
    /// Folders inside each other.
    pub depth: usize,
}

impl SourceLimits {
    /// Bytes of one name: what Linux file systems take (`NAME_MAX`).
    pub const NAME_BYTES: usize = 255;
}

impl Default for SourceLimits {
    fn default() -> Self {
        Self { entries: 500_000, total_bytes: 4 << 30, file_bytes: 1 << 30, path_bytes: 3800, depth: 512 }
    }
}
