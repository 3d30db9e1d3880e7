//! The two files of one app's stream: appended to, repaired after a crash, rotated by rename.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::record::{self, Marks};
use crate::model::{InstanceId, LogLine, LogSource, Timestamp};

const CURRENT: &str = "current.log";
const PREVIOUS: &str = "previous.log";

/// After a write failed, lines are dropped for this long before the next try: each try reads the file again.
const RETRY: Duration = Duration::from_secs(1);

/// Most instances whose marks are carried into a new file; the ones that spoke last.
const MAX_MARKS: u64 = 256;

/// An upper bound of the bytes of one mark on disk.
const MARK_BYTES: u64 = 64;

/// One app's stream on disk.
pub(super) struct AppLog {
    folder: PathBuf,
    /// Most bytes of one file.
    file_bytes: u64,
    line_bytes: usize,
    /// The current file, while it is open.
    file: Option<File>,
    /// Whether `size` and `marks` say what the files hold; they are read again after a failure.
    is_scanned: bool,
    /// Bytes of the current file, all of them whole records.
    size: u64,
    marks: Marks,
    /// Lines that could not be stored since the last one that could.
    dropped: u64,
    retry_at: Option<Instant>,
    is_removed: bool,
}

/// Files of a stream with the bytes of each that hold whole records, newer file first.
pub(super) type Snapshot = Vec<(File, u64)>;

impl AppLog {
    pub(super) fn new(folder: PathBuf, bytes: u64, line_bytes: usize) -> Self {
        let file_bytes = bytes / 2;
        // JSON writes a control character as six bytes, and a file must hold at least one line.
        let line_bytes = line_bytes.min(usize::try_from(file_bytes / 8).unwrap_or(usize::MAX));
        Self {
            folder,
            file_bytes,
            line_bytes,
            file: None,
            is_scanned: false,
            size: 0,
            marks: Marks::new(),
            dropped: 0,
            retry_at: None,
            is_removed: false,
        }
    }

    /// Stores lines in this order. What cannot be stored is dropped, and counted for the line that says so later.
    pub(super) fn append(&mut self, lines: &[LogLine]) {
        if self.is_removed || lines.is_empty() {
            return;
        }
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            self.dropped += lines.len() as u64;
            return;
        }
        let gap = (self.dropped > 0).then(|| LogLine {
            nanos: Timestamp::now().millis() * 1_000_000,
            source: LogSource::Slipway("logs".to_owned()),
            text: format!("{} log lines are missing here: they could not be stored", self.dropped),
        });
        let mut stored = 0;
        match self.write(gap.iter().chain(lines), &mut stored) {
            Ok(()) => (self.dropped, self.retry_at) = (0, None),
            Err(error) => {
                if self.dropped == 0 {
                    let folder = self.folder.display();
                    tracing::warn!(%error, "cannot store log lines in {folder}; dropping them until it works again");
                }
                // Whatever the failed write left behind is found out by reading the file again.
                (self.file, self.is_scanned) = (None, false);
                self.retry_at = Some(Instant::now() + RETRY);
                let kept = stored.saturating_sub(usize::from(gap.is_some()));
                self.dropped = if stored > 0 { 0 } else { self.dropped } + (lines.len() - kept) as u64;
            }
        }
    }

    /// Writes records in as few calls as the rotation allows; `stored` counts the lines that are safely written.
    fn write<'a>(&mut self, lines: impl Iterator<Item = &'a LogLine>, stored: &mut usize) -> io::Result<()> {
        let (mut buffer, mut pending) = (Vec::new(), 0);
        self.open()?;
        for line in lines {
            let begin = buffer.len();
            record::encode(line, self.line_bytes, &mut buffer);
            pending += 1;
            if self.size + buffer.len() as u64 > self.file_bytes {
                let record = buffer.split_off(begin);
                self.flush(&mut buffer)?;
                *stored += pending - 1;
                pending = 1;
                self.rotate()?;
                buffer = record;
            }
            if let LogSource::App { instance, .. } = &line.source {
                record::raise(&mut self.marks, *instance, line.nanos);
            }
        }
        self.flush(&mut buffer)?;
        *stored += pending;
        Ok(())
    }

    fn flush(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.open()?.write_all(buffer)?;
        self.size += buffer.len() as u64;
        buffer.clear();
        Ok(())
    }

    /// Makes the current file the previous one, and begins a new one that knows how far each instance was stored: an
    /// instance that says little must not be collected again from the start once its lines have been rotated away.
    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        fs::rename(self.folder.join(CURRENT), self.folder.join(PREVIOUS))?;
        let most = (self.file_bytes / 8 / MARK_BYTES).clamp(1, MAX_MARKS) as usize;
        let mut newest: Vec<(InstanceId, i64)> = self.marks.drain().collect();
        newest.sort_unstable_by_key(|(_, nanos)| std::cmp::Reverse(*nanos));
        newest.truncate(most);
        self.marks = newest.into_iter().collect();
        let mut opener = Vec::new();
        record::encode_marks(self.marks.iter(), &mut opener);
        self.size = 0;
        self.flush(&mut opener)
    }

    /// The current file. What a crash or a failure left in it is found out first, and a torn last record cut off.
    fn open(&mut self) -> io::Result<&mut File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
                let path = self.folder.join(CURRENT);
                let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
                if !self.is_scanned {
                    self.scan(&file, &path)?;
                }
                file
            }
        };
        Ok(self.file.insert(file))
    }

    fn scan(&mut self, file: &File, path: &Path) -> io::Result<()> {
        self.marks.clear();
        let found = scan(path, &mut self.marks)?;
        if !found.has_opener {
            scan(&self.folder.join(PREVIOUS), &mut self.marks)?;
        }
        file.set_len(found.whole_bytes)?;
        self.size = found.whole_bytes;
        self.is_scanned = true;
        Ok(())
    }

    /// Newest stored stamp of an instance.
    pub(super) fn mark(&mut self, instance: InstanceId) -> io::Result<Option<i64>> {
        if self.is_removed {
            return Ok(None);
        }
        self.open()?;
        Ok(self.marks.get(&instance).copied())
    }

    /// The stream as it is now; stays readable whatever is appended or rotated afterwards.
    pub(super) fn snapshot(&mut self) -> io::Result<Snapshot> {
        let mut files = Vec::new();
        for name in [CURRENT, PREVIOUS] {
            match File::open(self.folder.join(name)) {
                Ok(file) => {
                    let size = file.metadata()?.len();
                    files.push((file, size));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }

    pub(super) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Gives the file handle back; the next line opens the file again.
    pub(super) fn close(&mut self) {
        self.file = None;
    }

    /// Removes the files. Nothing is stored afterwards: an app's id is never used again.
    pub(super) fn remove(&mut self) -> io::Result<()> {
        self.is_removed = true;
        self.close();
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

struct Scan {
    /// Up to and with the last line end.
    whole_bytes: u64,
    has_opener: bool,
}

/// Reads a file once for its marks and its last line end. A file that does not exist is empty.
fn scan(path: &Path, marks: &mut Marks) -> io::Result<Scan> {
    let mut found = Scan { whole_bytes: 0, has_opener: false };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        file => file?,
    };
    let (mut reader, mut line) = (BufReader::with_capacity(64 << 10, file), Vec::new());
    while reader.read_until(b'\n', &mut line)? > 0 {
        if let Some(record) = line.strip_suffix(b"\n") {
            found.has_opener |= record::note_marks(record, marks);
            found.whole_bytes += line.len() as u64;
        }
        line.clear();
    }
    Ok(found)
}
