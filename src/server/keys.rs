//! The server's own private keys: made once, kept sealed in the data directory.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::store::Store;

/// Reads the sealed secret in `path`, or makes it with `make` and stores it sealed. The file's name is bound into the
/// seal, so that one secret cannot be put in another's place.
pub fn load_or_make(store: &Store, path: &Path, make: impl FnOnce() -> Result<String>) -> Result<String> {
    let place = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match fs::read(path) {
        Ok(sealed) => {
            let plain = store.sealer().open(&sealed, &place).with_context(|| format!("opening {}", path.display()))?;
            String::from_utf8(plain).with_context(|| format!("{} does not hold text", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let plain = make()?;
            let sealed = store.sealer().seal(plain.as_bytes(), &place);
            write_whole(path, &sealed).with_context(|| format!("writing {}", path.display()))?;
            Ok(plain)
        }
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// Writes a file so that it is there whole or not at all, also after a power cut. Nobody else may read it.
pub fn write_whole(path: &Path, contents: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(contents)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    fs::File::open(folder)?.sync_all()
}
