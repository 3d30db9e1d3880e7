//! The store of all apps' log streams.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::Semaphore;

use super::file::{AppLog, Snapshot};
use super::follow::{Follower, lines_of};
use super::record::{Record, decode};
use super::reverse::ReverseLines;
use super::space::Space;
use crate::model::{AppId, InstanceId, LogFilter, LogLine, LogSource, Timestamp};

const SECOND: i64 = 1_000_000_000;

/// Most files that are kept open; those of other apps are opened again when they speak.
const MAX_OPEN: usize = 256;

/// Most readers that follow at the same time, drains apart.
const MAX_READERS: usize = 256;

/// Bounds of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLimits {
    /// Most bytes of one app's stream on disk, in two files: at least half of it is there once it has filled up.
    pub bytes_per_app: u64,
    /// Most bytes of a line's text; the rest is cut, and the line says so. Never more than a sixteenth of
    /// `bytes_per_app`.
    pub line_bytes: usize,
    /// Most lines per second of an app and of the router for it, each begun 420 bytes of a line counted as one; what is
    /// more is dropped, and the stream says how much. 0 sets no limit.
    pub lines_per_second: u64,
    /// Bytes of free disk space that logs leave to others, at most a twentieth of the disk; below, lines are dropped. 0
    /// leaves none.
    pub min_free_bytes: u64,
}

impl Default for LogLimits {
    /// 8 MiB per app, 64 KiB per line, 10,000 lines per second, 64 MiB of free space.
    fn default() -> Self {
        Self { bytes_per_app: 8 << 20, line_bytes: 64 << 10, lines_per_second: 10_000, min_free_bytes: 64 << 20 }
    }
}

/// Keeps the newest lines of each app's stream in files. Cheap to clone.
///
/// A line is handed to the kernel before [`LogStore::append`] returns, so a killed server loses none. It is not synced:
/// after a power cut the engine's own log fills the gap.
#[derive(Clone)]
pub struct LogStore {
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    limits: LogLimits,
    space: Space,
    readers: Arc<Semaphore>,
    apps: Mutex<HashMap<AppId, Arc<Mutex<AppLog>>>>,
}

/// From where a collector goes on: exactly the lines of an instance that are not stored.
#[derive(Debug)]
pub(super) struct Resume {
    /// What to ask the engine for, in seconds since the epoch.
    pub(super) since_seconds: i64,
    /// Lines stamped so or earlier are stored, or were and have been rotated away.
    floor: i64,
    /// Stored lines above the floor: how many of each stamp.
    stored: HashMap<i64, u32>,
}

impl Resume {
    /// Whether the line of that stamp, the next one that the engine sent, is still to be stored.
    pub(super) fn is_new(&mut self, nanos: i64) -> bool {
        match self.stored.get_mut(&nanos) {
            Some(left) if *left > 0 => {
                *left -= 1;
                false
            }
            _ => nanos > self.floor,
        }
    }
}

impl LogStore {
    /// A store with one folder per app below `root`, made when the app first speaks.
    pub fn new(root: PathBuf, limits: LogLimits) -> Self {
        let space = Space::new(root.clone(), limits.min_free_bytes);
        let readers = Arc::new(Semaphore::new(MAX_READERS));
        Self { shared: Arc::new(Shared { root, limits, space, readers, apps: Mutex::default() }) }
    }

    /// Adds a line to an app's stream, after all lines that were added before.
    ///
    /// Costs one write to a file. Never fails: where that is not possible (disk full) lines are dropped, the server's
    /// log says so once, and the stream gets a line that counts them when it works again.
    pub fn append(&self, app: AppId, line: &LogLine) {
        self.append_all(app, std::slice::from_ref(line));
    }

    /// Adds many lines, as [`LogStore::append`] does, with as few writes as possible.
    pub fn append_all(&self, app: AppId, lines: &[LogLine]) {
        self.with(app, |log| log.append(lines, self.shared.space.check()));
    }

    /// Says something on the platform's behalf, now: one line per line of `text`.
    pub fn note(&self, app: AppId, component: &str, text: &str) {
        let (source, nanos) = (LogSource::of_component(component), Timestamp::now_nanos());
        let line = |text: &str| LogLine { nanos, source: source.clone(), text: text.to_owned() };
        self.append_all(app, &text.lines().map(line).collect::<Vec<_>>());
    }

    /// The last `lines` lines of an app's stream, oldest first; empty for an app that never spoke.
    ///
    /// Reads backwards, so that it costs what it yields.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub async fn tail(&self, app: AppId, lines: usize) -> Result<Vec<LogLine>, io::Error> {
        self.tail_of(app, lines, LogFilter::default()).await
    }

    /// As [`LogStore::tail`], of the lines that `filter` chooses.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub async fn tail_of(&self, app: AppId, lines: usize, filter: LogFilter) -> Result<Vec<LogLine>, io::Error> {
        let store = self.clone();
        blocking(move || {
            let snapshot = store.with(app, |log| {
                log.report_dropped(store.shared.space.check());
                log.snapshot()
            })?;
            Ok(last_lines(snapshot, lines, &filter)?.into())
        })
        .await
    }

    /// The last `lines` lines of an app's stream that `filter` chooses, and from there on every one that comes, without a
    /// gap or a duplicate, until the app's stream is removed.
    ///
    /// Nobody waits for whoever reads: what a slow reader has not read yet lies in the app's files, and once that has been
    /// rotated away a line says how many lines are missing. Beside the first lines a follower takes about 64 KiB of memory,
    /// more for a line that is longer, and no file while it waits. Dropping the stream ends it at once.
    ///
    /// # Errors
    /// When the files cannot be read now ([`io::ErrorKind::QuotaExceeded`] when too many follow at this moment). If they
    /// cannot later, the stream ends and the server's log says why.
    pub async fn follow(
        &self,
        app: AppId,
        lines: usize,
        filter: LogFilter,
    ) -> Result<BoxStream<'static, LogLine>, io::Error> {
        let permit = Arc::clone(&self.shared.readers).try_acquire_owned();
        let permit = permit.map_err(|_| {
            let text = format!("{MAX_READERS} readers follow logs already; try again later");
            io::Error::new(io::ErrorKind::QuotaExceeded, text)
        })?;
        let (first, follower) = self.follower(app, lines, filter).await?;
        Ok(lines_of(first, follower).inspect(move |_| _ = &permit).boxed())
    }

    /// The last lines of a stream, and who goes on behind them.
    pub(super) async fn follower(
        &self,
        app: AppId,
        lines: usize,
        filter: LogFilter,
    ) -> io::Result<(VecDeque<LogLine>, Follower)> {
        let store = self.clone();
        blocking(move || {
            let ((snapshot, position), tip) = store.with(app, |log| {
                log.report_dropped(store.shared.space.check());
                Ok::<_, io::Error>((log.end()?, log.tip()))
            })?;
            let first = last_lines(snapshot, lines, &filter)?;
            Ok((first, Follower::new(store.clone(), app, filter, position, tip)))
        })
        .await
    }

    /// Stores the count of what was dropped of an app's chatter, if it is due.
    pub(super) fn report_dropped(&self, app: AppId) {
        self.with(app, |log| log.report_dropped(self.shared.space.check()));
    }

    /// The newest engine stamp stored for an instance, in nanoseconds since the epoch, whether or not its line has been
    /// rotated away since. `None` when nothing is stored or the files cannot be read.
    ///
    /// Reads the app's current file when called for the first time.
    pub fn last_nanos(&self, app: AppId, instance: InstanceId) -> Option<i64> {
        self.with(app, |log| log.mark(instance)).ok().flatten()
    }

    /// From where to collect an instance's output.
    ///
    /// The engine takes whole seconds, and may write lines of the two outputs in another order than it stamped them; so
    /// it is asked for a second more than needed, and what is stored of that is told apart line by line.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub(super) async fn resume(&self, app: AppId, instance: InstanceId) -> io::Result<Resume> {
        let store = self.clone();
        blocking(move || {
            let (mark, snapshot) = store.with(app, |log| Ok::<_, io::Error>((log.mark(instance)?, log.snapshot()?)))?;
            let mut resume = Resume { since_seconds: 0, floor: i64::MIN, stored: HashMap::new() };
            let Some(mark) = mark else { return Ok(resume) };
            resume.since_seconds = (mark.div_euclid(SECOND) - 1).max(0);
            let begin = resume.since_seconds * SECOND;
            let (mut reaches_begin, mut oldest) = (false, mark);
            let (files, mut openers, mut is_rotated) = (snapshot.len(), 0, false);
            each_backwards(snapshot, |record| {
                match record {
                    Record::Line(LogLine { nanos, source: LogSource::App { instance: of, .. }, .. })
                        if of == instance =>
                    {
                        if nanos >= begin {
                            *resume.stored.entry(nanos).or_default() += 1;
                            oldest = oldest.min(nanos);
                        }
                        // A second earlier still: lines may lie out of order by less than that.
                        reaches_begin = nanos < begin - SECOND;
                    }
                    Record::Marks(marks) => {
                        // Only the oldest file tells what is gone, and the app's very first file has no opener.
                        openers += 1;
                        is_rotated = openers == files && marks.contains_key(&instance);
                    }
                    Record::Line(_) => {}
                }
                !reaches_begin
            })?;
            resume.floor = match (reaches_begin, is_rotated, resume.stored.is_empty()) {
                (true, _, _) | (false, false, false) => begin - 1,
                (false, true, false) => oldest - 1,
                (false, _, true) => mark,
            };
            Ok(resume)
        })
        .await
    }

    /// Removes an app's stream; lines that come later are dropped. What cannot be removed is reported to the server's
    /// log.
    pub async fn remove(&self, app: AppId) {
        let store = self.clone();
        if let Err(error) = blocking(move || store.with(app, AppLog::remove)).await {
            tracing::warn!(%error, "cannot remove the logs of app {app}");
        }
    }

    /// Works on an app's stream, alone.
    pub(super) fn with<T>(&self, app: AppId, act: impl FnOnce(&mut AppLog) -> T) -> T {
        let Shared { root, limits, apps, .. } = &*self.shared;
        let log = Arc::clone(lock(apps).entry(app).or_insert_with(|| {
            let folder = root.join(app.to_string());
            Arc::new(Mutex::new(AppLog::new(folder, limits)))
        }));
        let mut log = lock(&log);
        let was_open = log.is_open();
        let result = act(&mut log);
        let has_opened = !was_open && log.is_open();
        drop(log);
        if has_opened {
            self.close_surplus(app);
        }
        result
    }

    /// Closes all other files when there are too many, except those in use at this moment.
    fn close_surplus(&self, keep: AppId) {
        let apps = lock(&self.shared.apps);
        let idle = || apps.iter().filter(|(app, _)| **app != keep).filter_map(|(_, log)| log.try_lock().ok());
        if idle().filter(|log| log.is_open()).count() >= MAX_OPEN {
            idle().for_each(|mut log| log.close());
        }
    }
}

/// The last lines that `filter` chooses, oldest first.
fn last_lines(snapshot: Snapshot, lines: usize, filter: &LogFilter) -> io::Result<VecDeque<LogLine>> {
    let mut found = VecDeque::new();
    if lines == 0 {
        return Ok(found);
    }
    each_backwards(snapshot, |record| {
        match record {
            Record::Line(line) if filter.includes(&line) => found.push_front(line),
            Record::Line(_) | Record::Marks(_) => {}
        }
        found.len() < lines
    })?;
    Ok(found)
}

/// Hands records to `each`, last one first, until it says `false`. What does not parse is skipped.
fn each_backwards(snapshot: Snapshot, mut each: impl FnMut(Record) -> bool) -> io::Result<()> {
    for (file, size) in snapshot {
        let mut lines = ReverseLines::new(file, size);
        while let Some(line) = lines.next_line()? {
            if let Some(record) = decode(&line)
                && !each(record)
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Runs what reads files off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// A panic elsewhere must not end logging: the state behind these locks is valid between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
