//! Whether there is room for a build.

use std::io;
use std::path::{Path, PathBuf};

use super::output::size;
use super::{BuildError, Builder};

impl Builder {
    /// Refuses what the disk has no room for: where slugs are kept, and where the engine keeps images if that is on this
    /// machine. What it asks for is reserved for the database and for other people's work.
    ///
    /// # Errors
    /// [`BuildError::NoSpace`] says where how much is missing.
    pub async fn check_space(&self) -> Result<(), BuildError> {
        let wanted = self.settings.min_free_bytes;
        if wanted == 0 {
            return Ok(());
        }
        let asked = async || Ok::<_, BuildError>(PathBuf::from(self.engine.info().await?.root_dir));
        let engine_root = self.engine_root.get_or_try_init(asked).await?;
        for place in [self.slugs().dir(), engine_root] {
            // An engine on another machine names a folder that is not here.
            let free = match free_bytes(place) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                free => free.map_err(BuildError::io(format!("looking for free space in {}", place.display())))?,
            };
            if free < wanted {
                return Err(BuildError::NoSpace {
                    place: place.display().to_string(),
                    free: size(free),
                    missing: size(wanted - free),
                });
            }
        }
        Ok(())
    }
}

/// Bytes that a process without privileges may still write there.
fn free_bytes(place: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(place)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_what_the_file_system_says() {
        assert!(free_bytes(Path::new("/")).unwrap() > 0);
        assert_eq!(free_bytes(Path::new("/nowhere")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
