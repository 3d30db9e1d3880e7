//! Slugs on disk, by digest.

use std::fs::{File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use tempfile::NamedTempFile;

/// Ends of the names of files that are being written.
const TEMPORARY: &str = "tmp";

/// A file of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlugFile {
    /// The digest of a slug, the name of a temporary file.
    pub name: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// When it was written, or last found to be of use.
    pub used_at: SystemTime,
}

impl SlugFile {
    /// For how long nobody has needed it.
    pub fn idle(&self) -> Duration {
        self.used_at.elapsed().unwrap_or_default()
    }
}

/// Keeps slugs as `SHA256.tgz` and runtimes as `TOOL-VERSION.tgz` in one directory. What is there is whole: it gets its name
/// after it was synced.
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
        let store = Self::beside(dir);
        for file in store.temporary_files()? {
            std::fs::remove_file(store.dir.join(file.name))?;
        }
        Ok(store)
    }

    /// The store of a server that may be running: nothing is made or cleared.
    pub fn beside(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
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
        Ok(self.files()?.into_iter().map(|file| file.name).collect())
    }

    /// All slugs, in the order of their digests.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn files(&self) -> io::Result<Vec<SlugFile>> {
        self.entries(|name| name.strip_suffix(".tgz").filter(|digest| is_digest(digest)))
    }

    /// All runtimes, by what they are called (`node-24.1.0`), in that order.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn runtimes(&self) -> io::Result<Vec<SlugFile>> {
        self.entries(|name| name.strip_suffix(".tgz").filter(|name| is_runtime(name)))
    }

    /// Files that are being written, or were when the machine stopped.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn temporary_files(&self) -> io::Result<Vec<SlugFile>> {
        self.entries(|name| Path::new(name).extension().is_some_and(|found| found == TEMPORARY).then_some(name))
    }

    fn entries(&self, wanted: impl Fn(&str) -> Option<&str>) -> io::Result<Vec<SlugFile>> {
        let mut files = Vec::new();
        let entries = match std::fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let file_name = entry.file_name();
            let Some(name) = file_name.to_str().and_then(&wanted) else { continue };
            match entry.metadata() {
                Ok(found) if found.is_file() => {
                    files.push(SlugFile { name: name.to_owned(), size_bytes: found.len(), used_at: found.modified()? })
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        files.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(files)
    }

    /// Notes that a slug is of use now, so that clean-up spares it; yields whether it is there.
    ///
    /// # Errors
    /// When it is there and its time cannot be set.
    pub fn touch(&self, digest: &str) -> io::Result<bool> {
        let _lock = self.lock()?;
        match self.read(digest) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            file => file?.set_times(FileTimes::new().set_modified(SystemTime::now())).map(|()| true),
        }
    }

    /// Removes a slug, or a temporary file, that nobody has needed for `idle`; yields whether it is gone. Whoever writes or
    /// touches it at the same time, in this process or another, wins.
    ///
    /// # Errors
    /// When it cannot be looked at or removed.
    pub fn remove_idle(&self, name: &str, idle: Duration) -> io::Result<bool> {
        let is_temporary = Path::new(name).extension().is_some_and(|found| found == TEMPORARY);
        let is_plain = !name.contains('/');
        let path = if is_temporary && is_plain { Some(self.dir.join(name)) } else { self.path(name) };
        let path = path.ok_or(io::ErrorKind::InvalidInput)?;
        let _lock = self.lock()?;
        let modified = match std::fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            found => found?.modified()?,
        };
        if modified.elapsed().unwrap_or_default() < idle {
            return Ok(false);
        }
        std::fs::remove_file(path).map(|()| true)
    }

    /// Held while a file's age is looked at or changed. Other processes take it too.
    fn lock(&self) -> io::Result<File> {
        let dir = File::open(&self.dir)?;
        flock(&dir, FlockOperation::LockExclusive)?;
        Ok(dir)
    }

    /// An unnamed place on the same file system to write to; it is gone when dropped.
    pub(super) fn spool(&self) -> io::Result<NamedTempFile> {
        tempfile::Builder::new().prefix("slug-").suffix(&format!(".{TEMPORARY}")).tempfile_in(&self.dir)
    }

    /// Gives a written file its name, durably.
    pub(super) fn keep(&self, file: NamedTempFile, digest: &str) -> io::Result<()> {
        let path = self.path(digest).ok_or(io::ErrorKind::InvalidInput)?;
        file.as_file().sync_all()?;
        let dir = self.lock()?;
        file.as_file().set_times(FileTimes::new().set_modified(SystemTime::now()))?;
        file.persist(path).map_err(|error| error.error)?;
        dir.sync_all()
    }

    /// `None` when the text is no digest and calls no runtime, so that no other file can be named.
    fn path(&self, name: &str) -> Option<PathBuf> {
        (is_digest(name) || is_runtime(name)).then(|| self.dir.join(format!("{name}.tgz")))
    }

    /// Where the store lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// `node-24.1.0`: a language, a dash and a version.
fn is_runtime(text: &str) -> bool {
    let Some((tool, version)) = text.split_once('-') else { return false };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_');
    tool.starts_with(|c: char| c.is_ascii_lowercase())
        && tool.bytes().all(|b| b.is_ascii_lowercase())
        && version.contains(|c: char| c.is_ascii_digit())
        && version.chars().all(is_plain)
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
    fn what_was_of_use_lately_is_spared() {
        let dir = tempfile::tempdir().unwrap();
        let store = SlugStore::open(dir.path()).unwrap();
        let (digest, hour) = ("0a".repeat(32), Duration::from_secs(3600));
        let age = || {
            let file = File::options().write(true).open(dir.path().join(format!("{digest}.tgz"))).unwrap();
            file.set_modified(SystemTime::now() - 2 * hour).unwrap();
        };
        assert!(!store.touch(&digest).unwrap());
        assert!(store.remove_idle(&digest, hour).unwrap(), "gone is gone");
        store.keep(store.spool().unwrap(), &digest).unwrap();
        age();
        assert!(store.files().unwrap()[0].idle() > hour);
        assert!(store.touch(&digest).unwrap());
        assert!(!store.remove_idle(&digest, hour).unwrap());
        age();
        store.keep(store.spool().unwrap(), &digest).unwrap();
        assert!(!store.remove_idle(&digest, hour).unwrap(), "it was written again");
        age();
        assert!(store.remove_idle(&digest, hour).unwrap());
        assert!(!store.contains(&digest));

        std::fs::write(dir.path().join("slug-x.tmp"), "half").unwrap();
        assert_eq!(store.temporary_files().unwrap()[0].name, "slug-x.tmp");
        assert!(!store.remove_idle("slug-x.tmp", hour).unwrap());
        assert!(store.remove_idle("slug-x.tmp", Duration::ZERO).unwrap());
        assert!(store.remove_idle("../x.tmp", hour).is_err() && store.remove_idle("x", hour).is_err());
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
