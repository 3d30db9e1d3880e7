//! Slugs on disk, by digest.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Keeps slugs as `SHA256.tgz` in one directory. A slug that is there is whole: it gets its name after it was synced.
#[derive(Debug, Clone)]
pub struct SlugStore {
    dir: PathBuf,
}

impl SlugStore {
    /// Opens the store, making its directory if need be and clearing what an earlier life left half written.
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    pub fn open(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = dir.into();
        std::fs::create_dir_all(&dir)?;
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                std::fs::remove_file(path)?;
            }
        }
        Ok(Self { dir })
    }

    /// Whether the slug is there.
    pub fn contains(&self, digest: &str) -> bool {
        self.path(digest).is_some_and(|path| path.is_file())
    }

    /// Opens a slug (gzip, tar, entries below `app/`) for reading.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when it is not there.
    pub fn read(&self, digest: &str) -> io::Result<std::fs::File> {
        let path = self.path(digest).ok_or(io::ErrorKind::NotFound)?;
        std::fs::File::open(path)
    }

    /// Size of a slug in bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when it is not there.
    pub fn size(&self, digest: &str) -> io::Result<u64> {
        let path = self.path(digest).ok_or(io::ErrorKind::NotFound)?;
        Ok(std::fs::metadata(path)?.len())
    }

    /// Forgets a slug. One that is gone is fine.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn remove(&self, digest: &str) -> io::Result<()> {
        match self.path(digest).map(std::fs::remove_file) {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Digests of all slugs, in order.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> io::Result<Vec<String>> {
        let mut digests = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let digest = name.to_str().and_then(|name| name.strip_suffix(".tgz"));
            digests.extend(digest.filter(|digest| is_digest(digest)).map(str::to_owned));
        }
        digests.sort_unstable();
        Ok(digests)
    }

    /// An unnamed place on the same file system to write to; it is gone when dropped.
    pub(super) fn spool(&self) -> io::Result<NamedTempFile> {
        tempfile::Builder::new().prefix("slug-").suffix(".tmp").tempfile_in(&self.dir)
    }

    /// Gives a written file its name, durably.
    pub(super) fn keep(&self, file: NamedTempFile, digest: &str) -> io::Result<()> {
        let path = self.path(digest).ok_or(io::ErrorKind::InvalidInput)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        std::fs::File::open(&self.dir)?.sync_all()
    }

    /// `None` when the text is no digest, so that no other file can be named.
    fn path(&self, digest: &str) -> Option<PathBuf> {
        is_digest(digest).then(|| self.dir.join(format!("{digest}.tgz")))
    }

    /// Where the store lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_slug_is_whole_or_absent() {
        let dir = tempfile::tempdir().unwrap();
        let store = SlugStore::open(dir.path().join("slugs")).unwrap();
        let digest = "0a".repeat(32);
        let mut file = store.spool().unwrap();
        file.write_all(b"slug").unwrap();
        assert!(!store.contains(&digest));
        assert_eq!(store.list().unwrap(), Vec::<String>::new());

        store.keep(file, &digest).unwrap();
        assert!(store.contains(&digest));
        assert_eq!(store.list().unwrap(), std::slice::from_ref(&digest));
        assert_eq!(store.size(&digest).unwrap(), 4);
        let mut text = String::new();
        store.read(&digest).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "slug");

        store.remove(&digest).unwrap();
        store.remove(&digest).unwrap();
        assert_eq!(store.read(&digest).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn only_digests_name_files() {
        let dir = tempfile::tempdir().unwrap();
        let store = SlugStore::open(dir.path()).unwrap();
        std::fs::write(dir.path().join("x.tgz"), "").unwrap();
        assert!(!store.contains("x"));
        store.remove("x").unwrap();
        assert!(store.read("../x").is_err());
        assert!(dir.path().join("x.tgz").exists());
    }

    #[test]
    fn opening_clears_what_was_half_written() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("slug-x.tmp"), "half").unwrap();
        SlugStore::open(dir.path()).unwrap();
        assert!(!dir.path().join("slug-x.tmp").exists());
    }
}
