//! A running git (or ssh): its output line by line as it comes, its end, its interruption.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::wait::wait_until;
use super::{LONG, SHORT};

/// Longest time that any push of these tests may take.
const LIMIT: Duration = Duration::from_secs(240);

type Lines = Arc<Mutex<Vec<(Duration, String)>>>;

/// A command that has not ended yet. Dropped, it is killed.
pub struct Running {
    child: Child,
    lines: Lines,
    readers: JoinSet<()>,
    began: Instant,
    what: String,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Exit status; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Each line of both outputs without `remote: ` and trailing blanks, and how long after the start it came.
    pub lines: Vec<(Duration, String)>,
    /// From start to end.
    pub took: Duration,
    what: String,
}

impl Running {
    /// Starts `command` as the leader of a process group, as a shell with job control does.
    pub fn start(command: &mut Command) -> Self {
        Self::start_reading(command, Stdio::null())
    }

    /// Starts `command` with something to read.
    pub fn start_reading(command: &mut Command, input: Stdio) -> Self {
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).process_group(0);
        let what = format!("{:?}", command.as_std());
        let began = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
        let (lines, mut readers) = (Lines::default(), JoinSet::new());
        let out = child.stdout.take().expect("it was asked for");
        let err = child.stderr.take().expect("it was asked for");
        readers.spawn(collect(out, Arc::clone(&lines), began));
        readers.spawn(collect(err, Arc::clone(&lines), began));
        Self { child, lines, readers, began, what }
    }

    /// This, under a name that is easier to read in messages than the command with its environment.
    pub fn called(self, what: String) -> Self {
        Self { what, ..self }
    }

    /// Waits for the end.
    pub async fn finish(self) -> Finished {
        self.finish_within(LIMIT).await
    }

    /// Waits for the end of something that may take longer than a push.
    pub async fn finish_within(mut self, limit: Duration) -> Finished {
        let ended = timeout(limit, self.child.wait()).await;
        let Ok(status) = ended else {
            panic!("{} takes longer than {} s:\n{}", self.what, limit.as_secs(), self.output())
        };
        let status = status.expect("a child can be waited for");
        let took = self.began.elapsed();
        while self.readers.join_next().await.is_some() {}
        let lines = self.lines.lock().expect("no reader panics").clone();
        Finished { code: status.code(), lines, took, what: self.what }
    }

    /// Waits until a line that contains `text` has come.
    pub async fn line(&mut self, text: &str) {
        wait_until(&format!("git says '{text}'"), LONG, async || {
            let output = self.output();
            let has_ended = self.child.try_wait().expect("a child can be asked").is_some();
            match output.lines().any(|line| line.contains(text)) {
                true => Ok(()),
                false if has_ended => panic!("{} ended without saying '{text}':\n{output}", self.what),
                false => Err(output),
            }
        })
        .await;
    }

    /// The first line that contains `text`, or nothing.
    pub fn said(&self, text: &str) -> String {
        self.output().lines().find(|line| line.contains(text)).unwrap_or_default().to_owned()
    }

    /// Ctrl-C at the terminal: the whole foreground process group gets SIGINT.
    pub async fn interrupt(mut self) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("it runs");
        kill_process_group(pid, Signal::INT).expect("our own group can be signalled");
        timeout(SHORT, self.child.wait()).await.expect("git ends by Ctrl-C").expect("a child can be waited for");
    }

    fn output(&self) -> String {
        joined(&self.lines.lock().expect("no reader panics"))
    }
}

impl Finished {
    /// All lines, one after the other.
    pub fn output(&self) -> String {
        joined(&self.lines)
    }

    /// This, if it ended well.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{} failed:\n{}", self.what, self.output());
        self
    }

    /// This, if it did not.
    #[track_caller]
    pub fn failed(self) -> Self {
        assert_ne!(self.code, Some(0), "{} succeeded:\n{}", self.what, self.output());
        self
    }

    /// This, if each of `texts` occurs in the output.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        let output = self.output();
        for text in texts {
            assert!(output.contains(text), "'{text}' is not in the output of {}:\n{output}", self.what);
        }
        self
    }

    /// Whether a line contains `text`.
    pub fn has(&self, text: &str) -> bool {
        self.lines.iter().any(|(_, line)| line.contains(text))
    }
}

fn joined(lines: &[(Duration, String)]) -> String {
    lines.iter().map(|(_, line)| format!("{line}\n")).collect()
}

async fn collect(from: impl AsyncRead + Unpin, into: Lines, began: Instant) {
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        let text = text.strip_prefix("remote: ").unwrap_or(text).to_owned();
        into.lock().expect("no reader panics").push((began.elapsed(), text));
        line.clear();
    }
}
