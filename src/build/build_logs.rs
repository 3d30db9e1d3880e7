//! Logs of builds on disk, one file for each attempt.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::model::BuildId;

/// Most bytes that are kept of one build's log; of a longer one, the beginning.
const BUILD_LOG_BYTES: u64 = 8 << 20;

/// The folder of the logs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BuildLogs {
    dir: PathBuf,
}

/// Writes one log. A disk that takes no more costs the rest of the log, never the build.
#[derive(Debug)]
pub struct BuildLogWriter {
    file: Option<File>,
    left: u64,
}

impl BuildLogs {
    /// Opens the folder, making it if need be.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = dir.into();
        std::fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    /// Begins the log of a build.
    pub fn begin(&self, build: BuildId) -> BuildLogWriter {
        let path = self.path(build);
        let file = File::create(&path)
            .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "a build goes on without a log"));
        BuildLogWriter { file: file.ok(), left: BUILD_LOG_BYTES }
    }

    /// The log of a build, as far as it is written; `None` where there is none. At most 8 MiB and a line.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read(&self, build: BuildId) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(self.path(build)) {
            Ok(log) => Ok(Some(log)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Forgets a log. One that is gone is fine.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn remove(&self, build: BuildId) -> io::Result<()> {
        match std::fs::remove_file(self.path(build)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Where the logs lie.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn path(&self, build: BuildId) -> PathBuf {
        self.dir.join(format!("{build}.log"))
    }
}

impl BuildLogWriter {
    /// Adds a line.
    pub fn line(&mut self, text: &str) {
        let Some(file) = &mut self.file else { return };
        let bytes = text.len() as u64 + 1;
        let written = if bytes <= self.left {
            self.left -= bytes;
            // One call for each line: what was said is there to be read while the build goes on, and after a crash.
            file.write_all(format!("{text}\n").as_bytes())
        } else {
            let kept = BUILD_LOG_BYTES >> 20;
            let written = file.write_all(format!("[slipway: the rest is left out, {kept} MiB are kept]\n").as_bytes());
            self.file = None;
            written
        };
        if let Err(error) = written {
            tracing::warn!(%error, "the rest of a build's log is lost");
            self.file = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_while_it_is_written_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let logs = BuildLogs::open(dir.path().join("logs")).unwrap();
        let build = BuildId::new();
        assert_eq!(logs.read(build).unwrap(), None);
        let mut writer = logs.begin(build);
        writer.line("-----> Python app detected");
        assert_eq!(logs.read(build).unwrap().unwrap(), b"-----> Python app detected\n");
        let line = "x".repeat(1 << 20);
        for _ in 0..10 {
            writer.line(&line);
        }
        let log = logs.read(build).unwrap().unwrap();
        assert!(log.ends_with(b"x\n[slipway: the rest is left out, 8 MiB are kept]\n"), "{}", log.len());
        assert!(log.len() as u64 <= BUILD_LOG_BYTES + 100);
        logs.remove(build).unwrap();
        logs.remove(build).unwrap();
        assert_eq!(logs.read(build).unwrap(), None);
    }
}
