//! Reads on behind the end of a stream, at the reader's own pace.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::file::{Ahead, Position, Tip};
use super::record::{Record, decode};
use super::store::{LogStore, blocking};
use crate::model::{AppId, LogFilter, LogLine};

/// How much is read at a time; a record that is longer is read whole.
const BLOCK: u64 = 64 << 10;
/// How long to wait after the files could not be opened: a rotation that failed half way is fixed with the next line.
const PAUSE: Duration = Duration::from_millis(200);
/// How often in a row they may not be opened.
const TRIES: u32 = 25;

/// One reader's place in a stream. It holds no file while nobody asks it.
pub(super) struct Follower {
    store: LogStore,
    app: AppId,
    filter: LogFilter,
    position: Position,
    tip: watch::Receiver<Tip>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Lines; none when all of a stretch were left out by the filter.
    Lines(Vec<LogLine>),
    /// So many lines, whatever the filter, were rotated away before they were read.
    Missed(u64),
}

/// What a look at the files came to.
enum Look {
    Piece(Piece),
    Nothing(Option<Duration>),
    Removed,
}

impl Follower {
    pub(super) fn new(
        store: LogStore,
        app: AppId,
        filter: LogFilter,
        position: Position,
        tip: watch::Receiver<Tip>,
    ) -> Self {
        Self { store, app, filter, position, tip }
    }

    /// Waits for what comes next; `None` once the app is gone, or its files cannot be read. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Piece> {
        let mut failures = 0;
        loop {
            // Marked before the look, so that what is appended after it wakes us.
            self.tip.mark_unchanged();
            match self.look().await {
                Ok(Look::Piece(piece)) => return Some(piece),
                Ok(Look::Removed) => return None,
                Ok(Look::Nothing(due)) => self.wait(due).await?,
                Err(error) if failures < TRIES => {
                    tracing::debug!(%error, "cannot read on in the log of app {} yet", self.app);
                    failures += 1;
                    sleep(PAUSE).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot follow the log of app {}", self.app);
                    return None;
                }
            }
        }
    }

    /// Waits until the app is gone, beside whatever the follower does.
    pub(super) fn gone(&self) -> impl Future<Output = ()> + use<> {
        let mut tip = self.tip.clone();
        async move {
            let _gone = tip.wait_for(|tip| tip.is_removed).await;
        }
    }

    /// What is there already; `None` when nothing is. Cancel-safe.
    pub(super) async fn ready(&mut self) -> Option<Piece> {
        match self.look().await {
            Ok(Look::Piece(piece)) => Some(piece),
            _ => None,
        }
    }

    /// Waits until the tip moves, or until the count of dropped lines is due, which then becomes a line.
    async fn wait(&mut self, due: Option<Duration>) -> Option<()> {
        let Some(due) = due else { return self.tip.changed().await.ok() };
        if timeout(due, self.tip.changed()).await.is_err() {
            let (store, app) = (self.store.clone(), self.app);
            let report = move || {
                store.report_dropped(app);
                Ok(())
            };
            blocking(report).await.ok()?;
        }
        Some(())
    }

    /// The position moves only with the result, so that a look which is given up is made again.
    async fn look(&mut self) -> io::Result<Look> {
        let (store, app, filter, mut position) = (self.store.clone(), self.app, self.filter.clone(), self.position);
        let (look, position) = blocking(move || {
            let look = match store.with(app, |log| log.ahead(&mut position))? {
                Ahead::Records(file, end) => Look::Piece(Piece::Lines(read(&file, end, &mut position, &filter)?)),
                Ahead::Missed(lines) => Look::Piece(Piece::Missed(lines)),
                Ahead::Nothing(due) => Look::Nothing(due),
                Ahead::Removed => Look::Removed,
            };
            Ok((look, position))
        })
        .await?;
        self.position = position;
        Ok(look)
    }
}

/// The next whole records of a file, of which the first `end` bytes hold nothing else.
fn read(file: &File, end: u64, position: &mut Position, filter: &LogFilter) -> io::Result<Vec<LogLine>> {
    let left = end - position.offset;
    let mut block = vec![0; left.min(BLOCK) as usize];
    let mut filled = 0;
    let last = loop {
        file.read_exact_at(&mut block[filled..], position.offset + filled as u64)?;
        match block.iter().rposition(|byte| *byte == b'\n') {
            Some(last) => break last,
            None if block.len() as u64 == left => return Err(io::ErrorKind::UnexpectedEof.into()),
            None => {
                filled = block.len();
                block.resize((filled as u64 * 2).min(left) as usize, 0);
            }
        }
    };
    let mut lines = Vec::new();
    for record in block[..last].split(|byte| *byte == b'\n') {
        match decode(record) {
            Some(Record::Marks(_)) => continue,
            Some(Record::Line(line)) if filter.includes(&line) => lines.push(line),
            Some(Record::Line(_)) | None => {}
        }
        position.line += 1;
    }
    position.offset += last as u64 + 1;
    Ok(lines)
}

/// The first lines, then whatever the follower reads, one by one.
pub(super) fn lines_of(first: VecDeque<LogLine>, follower: Follower) -> impl Stream<Item = LogLine> + Send + 'static {
    let rest = stream::unfold(follower, |mut follower| async move {
        let lines = match follower.next().await? {
            Piece::Lines(lines) => lines,
            Piece::Missed(lines) => vec![LogLine::now(
                "logs",
                format!("{lines} log lines are missing here: they came faster than they were read"),
            )],
        };
        Some((lines, follower))
    });
    stream::iter(first).chain(rest.flat_map(stream::iter))
}
