//! The two files of one app's stream: appended to, repaired after a crash, rotated by rename.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::limit::Limiter;
use super::record::{self, Marks};
use super::store::LogLimits;
use crate::model::{InstanceId, LogLine, LogSource};

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
    /// Lines in them.
    lines: u64,
    marks: Marks,
    /// How often a file was begun in this life of the server.
    generation: u64,
    /// The number of the current file's first line, counted from the beginning of this life.
    first_line: u64,
    /// The previous file, if it was written in this life.
    previous: Option<Closed>,
    limiter: Limiter,
    /// Tells followers that there is more to read, or that there never will be.
    tip: watch::Sender<Tip>,
    /// Lines that could not be stored since the last one that could.
    dropped: u64,
    retry_at: Option<Instant>,
    is_removed: bool,
}

/// How far a stream goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tip {
    /// The number of the line that comes next.
    pub(super) line: u64,
    /// The app is gone.
    pub(super) is_removed: bool,
}

/// A file that nothing is appended to any more.
struct Closed {
    size: u64,
    first_line: u64,
}

/// What somebody who follows reads next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    generation: u64,
    /// Bytes into the file.
    pub(super) offset: u64,
    /// The line's number.
    pub(super) line: u64,
}

/// What there is for somebody who follows.
pub(super) enum Ahead {
    /// Whole records, from the position to that end of the file.
    Records(File, u64),
    /// So many lines have been rotated away; the position is behind them now.
    Missed(u64),
    /// Nothing, until the tip moves or so much time has passed.
    Nothing(Option<Duration>),
    /// The app is gone.
    Removed,
}

/// Files of a stream with the bytes of each that hold whole records, newer file first.
pub(super) type Snapshot = Vec<(File, u64)>;

impl AppLog {
    pub(super) fn new(folder: PathBuf, limits: &LogLimits) -> Self {
        let file_bytes = limits.bytes_per_app / 2;
        // JSON writes a control character as six bytes, and a file must hold at least one line.
        let line_bytes = limits.line_bytes.min(usize::try_from(file_bytes / 8).unwrap_or(usize::MAX));
        Self {
            folder,
            file_bytes,
            line_bytes,
            file: None,
            is_scanned: false,
            size: 0,
            lines: 0,
            marks: Marks::new(),
            generation: 0,
            first_line: 0,
            previous: None,
            limiter: Limiter::new(limits.lines_per_second),
            tip: watch::Sender::default(),
            dropped: 0,
            retry_at: None,
            is_removed: false,
        }
    }

    /// Stores lines in this order. Those that are too many are dropped, as are those that cannot be stored or have no
    /// room; lines of the platform that say how many take their place.
    pub(super) fn append(&mut self, lines: &[LogLine], room: io::Result<()>) {
        if self.is_removed || lines.is_empty() {
            return;
        }
        let mut admitted: Vec<Cow<'_, LogLine>> = Vec::with_capacity(lines.len());
        for line in lines {
            if self.limiter.admits(line) {
                admitted.extend(self.limiter.report().map(Cow::Owned));
                admitted.push(Cow::Borrowed(line));
            } else if let LogSource::App { instance, .. } = &line.source {
                // What was dropped is not to be collected again.
                record::raise(&mut self.marks, *instance, line.nanos);
            }
        }
        self.store(&admitted, room);
    }

    /// Stores the count of lines that were too many, if it is due.
    pub(super) fn report_dropped(&mut self, room: io::Result<()>) {
        if self.limiter.due_in(Instant::now()).is_some_and(|wait| wait.is_zero()) && !self.is_removed {
            let report: Vec<_> = self.limiter.report().into_iter().map(Cow::Owned).collect();
            self.store(&report, room);
        }
    }

    fn store(&mut self, lines: &[Cow<'_, LogLine>], room: io::Result<()>) {
        if lines.is_empty() {
            return;
        }
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            self.dropped += lines.len() as u64;
            return;
        }
        if let Err(error) = room {
            self.drop_lines(&error, lines.len());
            return;
        }
        let gap = (self.dropped > 0).then(|| {
            LogLine::now("logs", format!("{} log lines are missing here: they could not be stored", self.dropped))
        });
        let mut stored = 0;
        match self.write(gap.iter().chain(lines.iter().map(AsRef::as_ref)), &mut stored) {
            Ok(()) => (self.dropped, self.retry_at) = (0, None),
            Err(error) => {
                // Whatever the failed write left behind is found out by reading the file again.
                (self.file, self.is_scanned) = (None, false);
                let kept = stored.saturating_sub(usize::from(gap.is_some()));
                self.drop_lines(&error, lines.len() - kept);
                if stored > 0 {
                    self.dropped = (lines.len() - kept) as u64;
                }
            }
        }
        self.tip.send_if_modified(|tip| {
            let line = self.first_line + self.lines;
            std::mem::replace(&mut tip.line, line) != line
        });
    }

    /// Counts what could not be stored, and rests for a while.
    fn drop_lines(&mut self, error: &io::Error, lines: usize) {
        if self.dropped == 0 {
            let folder = self.folder.display();
            tracing::warn!(%error, "cannot store log lines in {folder}; dropping them until it works again");
        }
        self.dropped += lines as u64;
        self.retry_at = Some(Instant::now() + RETRY);
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
                self.flush(&mut buffer, pending - 1)?;
                *stored += pending - 1;
                pending = 1;
                self.rotate()?;
                buffer = record;
            }
            if let LogSource::App { instance, .. } = &line.source {
                record::raise(&mut self.marks, *instance, line.nanos);
            }
        }
        self.flush(&mut buffer, pending)?;
        *stored += pending;
        Ok(())
    }

    fn flush(&mut self, buffer: &mut Vec<u8>, lines: usize) -> io::Result<()> {
        self.open()?.write_all(buffer)?;
        self.size += buffer.len() as u64;
        self.lines += lines as u64;
        buffer.clear();
        Ok(())
    }

    /// Makes the current file the previous one, and begins a new one that knows how far each instance was stored: an
    /// instance that says little must not be collected again from the start once its lines have been rotated away.
    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        fs::rename(self.folder.join(CURRENT), self.folder.join(PREVIOUS))?;
        self.previous = Some(Closed { size: self.size, first_line: self.first_line });
        self.generation += 1;
        self.first_line += self.lines;
        (self.size, self.lines) = (0, 0);
        let most = (self.file_bytes / 8 / MARK_BYTES).clamp(1, MAX_MARKS) as usize;
        let mut newest: Vec<(InstanceId, i64)> = self.marks.drain().collect();
        newest.sort_unstable_by_key(|(_, nanos)| std::cmp::Reverse(*nanos));
        newest.truncate(most);
        self.marks = newest.into_iter().collect();
        let mut opener = Vec::new();
        record::encode_marks(self.marks.iter(), &mut opener);
        self.flush(&mut opener, 0)
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
        (self.size, self.lines) = (found.whole_bytes, found.lines);
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
                    let is_known = name == CURRENT && self.is_scanned;
                    let size = if is_known { self.size } else { file.metadata()?.len() };
                    files.push((file, size));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }

    /// Where the stream ends, with all that lies before it.
    pub(super) fn end(&mut self) -> io::Result<(Snapshot, Position)> {
        if !self.is_scanned && !self.is_removed && self.folder.join(CURRENT).exists() {
            self.open()?;
        }
        let line = self.first_line + self.lines;
        Ok((self.snapshot()?, Position { generation: self.generation, offset: self.size, line }))
    }

    /// Tells when there is more behind a position.
    pub(super) fn tip(&self) -> watch::Receiver<Tip> {
        self.tip.subscribe()
    }

    /// What there is to read behind a position, which moves over what is no more.
    pub(super) fn ahead(&mut self, position: &mut Position) -> io::Result<Ahead> {
        if self.is_removed {
            return Ok(Ahead::Removed);
        }
        let behind = self.generation - position.generation;
        let previous = self.previous.as_ref().filter(|_| behind > 0);
        let (name, size) = match previous {
            Some(previous) if behind == 1 && position.offset < previous.size => (PREVIOUS, previous.size),
            Some(previous) if behind > 1 => {
                let missed = previous.first_line - position.line;
                *position = Position { generation: self.generation - 1, offset: 0, line: previous.first_line };
                return Ok(Ahead::Missed(missed));
            }
            Some(_) => {
                *position = Position { generation: self.generation, offset: 0, line: self.first_line };
                (CURRENT, self.size)
            }
            None => (CURRENT, self.size),
        };
        if position.offset >= size {
            return Ok(Ahead::Nothing(self.limiter.due_in(Instant::now())));
        }
        Ok(Ahead::Records(File::open(self.folder.join(name))?, size))
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
        self.tip.send_modify(|tip| tip.is_removed = true);
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
    lines: u64,
    has_opener: bool,
}

/// Reads a file once for its marks and its last line end. A file that does not exist is empty.
fn scan(path: &Path, marks: &mut Marks) -> io::Result<Scan> {
    let mut found = Scan { whole_bytes: 0, lines: 0, has_opener: false };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        file => file?,
    };
    let (mut reader, mut line) = (BufReader::with_capacity(64 << 10, file), Vec::new());
    while reader.read_until(b'\n', &mut line)? > 0 {
        if let Some(record) = line.strip_suffix(b"\n") {
            let opens = record::note_marks(record, marks);
            found.has_opener |= opens;
            found.lines += u64::from(!opens);
            found.whole_bytes += line.len() as u64;
        }
        line.clear();
    }
    Ok(found)
}
