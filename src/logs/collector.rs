//! Follows what containers say into their apps' streams.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::store::{LogStore, Resume};
use crate::engine::{ContainerLog, ContainerState, Engine, EngineError};
use crate::model::{AppId, InstanceId, LogLine, LogSource, ProcessType};

/// Most lines that are stored with one write.
const BATCH: usize = 512;

/// First and longest pause between two looks at a container that is not there yet, or an engine that is away.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How long the engine may take to say what a container is doing.
const LOOK: Duration = Duration::from_secs(10);

/// How long [`Collector::settled`] and [`Collector::last_lines`] wait at most.
const REPORT: Duration = Duration::from_secs(5);

/// Follows containers, one task each. Cheap to clone.
#[derive(Clone)]
pub struct Collector {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Arc<dyn Engine>,
    store: LogStore,
    tracker: TaskTracker,
    stop: CancellationToken,
    /// By container.
    followers: Mutex<HashMap<String, Follower>>,
}

struct Follower {
    instance: InstanceId,
    /// Cancelled when the follower has ended, however it ended.
    done: CancellationToken,
    /// Somebody asked again meanwhile: the container may have been started once more after the follower saw it end.
    is_wanted_again: bool,
}

/// Whose output, and as what it is stored.
struct Target {
    app: AppId,
    container: String,
    source: LogSource,
    instance: InstanceId,
}

/// Why a stretch of following came to its end.
enum Stretch {
    /// The engine closed the stream properly.
    Closed,
    /// The engine went away or refused, or the store cannot be read.
    Broken(String),
    /// The server stops.
    Stopped,
}

impl Collector {
    /// A collector whose tasks run on `tracker` until their containers end or `stop` is cancelled.
    pub fn new(engine: Arc<dyn Engine>, store: LogStore, tracker: TaskTracker, stop: CancellationToken) -> Self {
        Self { shared: Arc::new(Shared { engine, store, tracker, stop, followers: Mutex::default() }) }
    }

    /// Follows a container's output into the app's stream until the container ends or is gone.
    ///
    /// Goes on after what is stored of the instance, without a gap or a duplicate, whether it was this collector or one
    /// before a restart that stored it. While the container is followed, another call changes nothing; for one that was
    /// started again after it ended, call again. An engine that is away is asked again and again, every 5 s at most.
    pub fn follow(&self, app: AppId, process: &ProcessType, number: u32, instance: InstanceId, container: &str) {
        let done = CancellationToken::new();
        let follower = Follower { instance, done: done.clone(), is_wanted_again: false };
        match self.followers().entry(container.to_owned()) {
            Entry::Occupied(mut running) if !running.get().done.is_cancelled() => {
                running.get_mut().is_wanted_again = true;
                return;
            }
            place => place.insert_entry(follower),
        };
        let source = LogSource::App { process: process.clone(), number, instance };
        let target = Target { app, container: container.to_owned(), source, instance };
        let (this, done) = (self.clone(), done.drop_guard());
        self.shared.tracker.spawn(async move { this.run(target, done).await });
    }

    /// Waits until everything that the ended containers of an instance said is stored; 5 s at most, and not at all when
    /// nothing of the instance is followed. Cancel-safe.
    pub async fn settled(&self, instance: InstanceId) {
        let of_instance = |follower: &&Follower| follower.instance == instance;
        let waits: Vec<_> = self.followers().values().filter(of_instance).map(|f| f.done.clone()).collect();
        let all = async {
            for done in waits {
                done.cancelled().await;
            }
        };
        if timeout(REPORT, all).await.is_err() {
            tracing::debug!(instance.id = %instance, "its log is not complete after {} s", REPORT.as_secs());
        }
    }

    /// The last `n` lines that a container said, oldest first, from the engine's own log; what can be had of them within
    /// 5 s. Cancel-safe.
    pub async fn last_lines(&self, container: &str, n: usize) -> Vec<String> {
        let mut last = VecDeque::new();
        let read = async {
            let mut lines = self.shared.engine.logs(container, 0, false);
            while let Some(Ok(line)) = lines.next().await {
                last.push_back(line.text);
                if last.len() > n {
                    last.pop_front();
                }
            }
        };
        if timeout(REPORT, read).await.is_err() {
            tracing::debug!("reading the log of container {container} took longer than {} s", REPORT.as_secs());
        }
        last.into()
    }

    /// One follower's life. `_done` tells those who wait, even after a panic.
    async fn run(&self, target: Target, _done: DropGuard) {
        let mut pause = PAUSE.0;
        let mut is_reported = false;
        loop {
            let mut stored = 0;
            let stretch = self.follow_stretch(&target, &mut stored).await;
            if stored > 0 {
                (pause, is_reported) = (PAUSE.0, false);
            }
            let trouble = match stretch {
                Stretch::Stopped => break,
                Stretch::Closed => None,
                Stretch::Broken(why) => Some(why),
            };
            let trouble = match self.look(&target.container).await {
                Ok(None) => break,
                Ok(Some(ContainerState::Exited(_))) if trouble.is_none() => {
                    if self.has_ended(&target.container) {
                        return;
                    }
                    // Started again: no reason to wait.
                    continue;
                }
                Ok(Some(_)) => trouble,
                Err(error) => Some(error.to_string()),
            };
            if let (Some(error), false) = (trouble, is_reported) {
                is_reported = true;
                tracing::warn!(instance.id = %target.instance, "cannot collect the log of container {}, trying again: {error}", target.container);
            }
            tokio::select! {
                () = self.shared.stop.cancelled() => break,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE.1),
            }
        }
        self.followers().remove(&target.container);
    }

    /// Stores what the container says until the stream ends; `stored` counts the lines.
    async fn follow_stretch(&self, target: &Target, stored: &mut usize) -> Stretch {
        let Shared { engine, store, stop, .. } = &*self.shared;
        let mut resume = match store.resume(target.app, target.instance).await {
            Ok(resume) => resume,
            Err(error) => return Stretch::Broken(error.to_string()),
        };
        let mut chunks = engine.logs(&target.container, resume.since_seconds, true).ready_chunks(BATCH);
        loop {
            let chunk = tokio::select! {
                () = stop.cancelled() => return Stretch::Stopped,
                chunk = chunks.next() => chunk,
            };
            let Some(chunk) = chunk else { return Stretch::Closed };
            let (lines, broken) = new_lines(chunk, &mut resume, &target.source);
            *stored += lines.len();
            if let Err(error) = self.store_lines(target.app, lines).await {
                return Stretch::Broken(error.to_string());
            }
            if let Some(error) = broken {
                return Stretch::Broken(error.to_string());
            }
        }
    }

    /// Writes off the async threads: a disk that is slow must not slow down requests.
    async fn store_lines(&self, app: AppId, lines: Vec<LogLine>) -> Result<(), tokio::task::JoinError> {
        if lines.is_empty() {
            return Ok(());
        }
        let store = self.shared.store.clone();
        tokio::task::spawn_blocking(move || store.append_all(app, &lines)).await
    }

    /// What the container is doing; `None` when it is gone.
    async fn look(&self, container: &str) -> Result<Option<ContainerState>, EngineError> {
        match timeout(LOOK, self.shared.engine.container(container)).await {
            Ok(Ok(container)) => Ok(Some(container.state)),
            Ok(Err(EngineError::NotFound { .. })) => Ok(None),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(EngineError::TimedOut { action: format!("looking at container {container}"), limit: LOOK }),
        }
    }

    /// Ends the follower of an ended container, unless it was asked for again meanwhile.
    fn has_ended(&self, container: &str) -> bool {
        let mut followers = self.followers();
        match followers.get_mut(container) {
            Some(follower) if follower.is_wanted_again => {
                follower.is_wanted_again = false;
                false
            }
            _ => {
                followers.remove(container);
                true
            }
        }
    }

    fn followers(&self) -> std::sync::MutexGuard<'_, HashMap<String, Follower>> {
        self.shared.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lines of a chunk that are not stored yet, up to the error that broke the stream.
fn new_lines(
    chunk: Vec<Result<ContainerLog, EngineError>>,
    resume: &mut Resume,
    source: &LogSource,
) -> (Vec<LogLine>, Option<EngineError>) {
    let mut lines = Vec::with_capacity(chunk.len());
    for line in chunk {
        match line {
            Ok(ContainerLog { nanos, text, .. }) if resume.is_new(nanos) => {
                lines.push(LogLine { nanos, source: source.clone(), text });
            }
            Ok(_) => {}
            Err(error) => return (lines, Some(error)),
        }
    }
    (lines, None)
}
