//! What the SSH door asks of the platform.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::git::Source;
use crate::model::{AppName, Quota, Username};

/// The platform as a push sees it.
#[async_trait]
pub trait PushBackend: Send + Sync + 'static {
    /// Whose key this is (`SHA256:...`); `None` when nobody registered it or the account may not log in.
    ///
    /// # Errors
    /// A line for the log; the key is refused.
    async fn user_for_key(&self, fingerprint: &str) -> Result<Option<Username>, String>;

    /// The repository of an app that the user may push to and fetch from. Unknown and forbidden look alike: `None`.
    ///
    /// # Errors
    /// A line for the pusher.
    async fn repository(&self, user: &Username, app: &str) -> Result<Option<(AppName, PathBuf)>, String>;

    /// How many git processes of the user may run at once.
    ///
    /// # Errors
    /// A line for the pusher.
    async fn git_quota(&self, user: &Username) -> Result<Quota, String>;

    /// Builds, releases and rolls out a push; called from its pre-receive hook, once.
    ///
    /// Lines for the pusher go to `progress`, in order; those that come after the return are dropped. `cancel` fires when
    /// the pusher has gone or the server stops; the platform decides whether it is still in time, and returns either way.
    /// On success the app stays locked until the lease is finished or dropped. The future is never dropped half-way.
    ///
    /// # Errors
    /// [`Rejected`]: the push is refused, its objects are thrown away.
    async fn receive(
        &self,
        push: Push,
        progress: Progress,
        cancel: CancellationToken,
    ) -> Result<Box<dyn PushLease>, Rejected>;
}

/// One push that got as far as pre-receive.
#[derive(Debug)]
pub struct Push {
    /// Who pushes.
    pub user: Username,
    /// To which app.
    pub app: AppName,
    /// The pushed commit, in quarantine until [`PushBackend::receive`] has returned.
    pub source: Source,
    /// Where the reference stood when the push began; `None` when there was none.
    pub old: Option<String>,
    /// `refs/heads/main` or `refs/heads/master`.
    pub reference: String,
    /// Push options (`git push -o redeploy`), as they were given.
    pub options: Vec<String>,
}

/// Why a push is refused, for the pusher; each line is printed as ` !     line`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Without line ends.
    pub lines: Vec<String>,
}

impl Rejected {
    /// A refusal of one line.
    pub fn line(text: impl Into<String>) -> Self {
        Self { lines: vec![text.into()] }
    }
}

/// The app's lock, held from the end of a successful [`PushBackend::receive`] until git has moved the reference.
#[async_trait]
pub trait PushLease: Send {
    /// Git is done. `ref_moved` says whether the reference now points at the pushed commit.
    async fn finish(self: Box<Self>, ref_moved: bool);
}

/// Bytes that may wait for a pusher who reads slowly, before lines are left out.
const QUEUED_BYTES: usize = 4 << 20;

/// Where lines for the pusher go. Never blocks, never fails; order is kept.
///
/// Lines beyond 4 MiB that the pusher has not taken yet are left out, and a line says how many.
#[derive(Clone)]
pub struct Progress {
    lines: mpsc::UnboundedSender<Said>,
    fill: Arc<Fill>,
}

/// What comes out of a [`Progress`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A line for the pusher.
    Line(String),
    /// The release serves: the reference is to move, even if the server dies now.
    Released,
}

/// The other end of a [`Progress`].
#[derive(Debug)]
pub struct ProgressLines {
    lines: mpsc::UnboundedReceiver<Said>,
    fill: Arc<Fill>,
}

#[derive(Debug, Default)]
struct Fill {
    bytes: AtomicUsize,
    left_out: AtomicUsize,
}

impl Progress {
    /// A connected pair.
    pub fn channel() -> (Self, ProgressLines) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let fill = Arc::new(Fill::default());
        (Self { lines: sender, fill: fill.clone() }, ProgressLines { lines: receiver, fill })
    }

    /// Shows `text`, one line of the pusher's output per line of it.
    pub fn line(&self, text: &str) {
        for line in text.trim_end_matches('\n').split('\n') {
            self.send(line.trim_end_matches('\r'));
        }
    }

    fn send(&self, line: &str) {
        if self.fill.bytes.load(Ordering::Relaxed) + line.len() > QUEUED_BYTES {
            self.fill.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        for line in self.fill.take_left_out().into_iter().chain([line.to_owned()]) {
            // The count of an empty line is not 0, or empty lines would be free.
            self.fill.bytes.fetch_add(line.len() + 1, Ordering::Relaxed);
            // Nobody listens any more: the push is over.
            let _ = self.lines.send(Said::Line(line));
        }
    }

    /// The release serves; from here on the push is taken, whatever happens to the server.
    pub fn released(&self) {
        let _ = self.lines.send(Said::Released);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

impl ProgressLines {
    /// The next line, without its end, or the word that the release serves; `None` once every [`Progress`] is gone, or after [`Self::close`], when all lines
    /// are taken. Cancel-safe.
    pub async fn next(&mut self) -> Option<Said> {
        match self.lines.recv().await {
            Some(Said::Line(line)) => {
                self.fill.bytes.fetch_sub(line.len() + 1, Ordering::Relaxed);
                Some(Said::Line(line))
            }
            Some(Said::Released) => Some(Said::Released),
            None => self.fill.take_left_out().map(Said::Line),
        }
    }

    /// Takes no further lines; those already there can still be read.
    pub fn close(&mut self) {
        self.lines.close();
    }
}

impl Fill {
    fn take_left_out(&self) -> Option<String> {
        match self.left_out.swap(0, Ordering::Relaxed) {
            0 => None,
            count => Some(format!("       ({count} lines are left out here: they came faster than they were read)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn rest(mut lines: ProgressLines) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(said) = lines.next().await {
            all.push(match said {
                Said::Line(line) => line,
                Said::Released => "released".to_owned(),
            });
        }
        all
    }

    #[tokio::test]
    async fn lines_keep_their_order_and_are_split() {
        let (progress, lines) = Progress::channel();
        progress.line("a\nb\n");
        progress.clone().line("");
        progress.released();
        progress.line("c\r\n");
        drop(progress);
        assert_eq!(rest(lines).await, ["a", "b", "", "released", "c"]);
    }

    #[tokio::test]
    async fn closing_keeps_what_was_said_before() {
        let (progress, mut lines) = Progress::channel();
        progress.line("a");
        lines.close();
        progress.line("b");
        assert_eq!(rest(lines).await, ["a"]);
    }

    #[tokio::test]
    async fn a_slow_reader_bounds_memory_and_learns_what_is_missing() {
        let (progress, mut lines) = Progress::channel();
        let long = "x".repeat(1 << 20);
        (0..9).for_each(|_| progress.line(&long));
        for _ in 0..3 {
            assert_eq!(lines.next().await, Some(Said::Line(long.clone())));
        }
        progress.line("end");
        drop(progress);
        let marker = "       (6 lines are left out here: they came faster than they were read)";
        assert_eq!(rest(lines).await, [marker, "end"]);
    }
}
