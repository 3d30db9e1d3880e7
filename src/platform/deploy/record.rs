//! What is kept of each attempt to build: its log, how long each part took, how it ended.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::super::operations::Progress;
use super::super::{AppHandle, Error, Listing, Platform};
use crate::build::BuildLogWriter;
use crate::model::{AppId, BuildId, BuildRecord, BuildStatus, Phase, SourceKind};
use crate::rollout::Event;
use crate::store::Page;
use crate::store::build_records::{self, Ending, NewRecord};
use crate::telemetry::metrics::metrics;

/// What starts the headline of a phase in the pusher's output.
const HEADLINE: &str = "-----> ";

/// Most phases that are kept of one build; a buildpack may print what it likes.
const PHASES_MAX: usize = 200;

/// Records, and logs, that are kept of one app: the newest ones.
const RECORDS_KEPT: i64 = 100;

/// Listens to what the pusher is told.
#[derive(Clone)]
pub(in crate::platform) struct Recorder {
    app: AppId,
    build: BuildId,
    source_kind: SourceKind,
    began: Instant,
    heard: Arc<Mutex<Heard>>,
}

struct Heard {
    log: BuildLogWriter,
    phases: Vec<Phase>,
    current: Option<(String, Instant)>,
}

impl Recorder {
    fn new(app: AppId, build: BuildId, source_kind: SourceKind, log: BuildLogWriter) -> Self {
        let heard = Arc::new(Mutex::new(Heard { log, phases: Vec::new(), current: None }));
        Self { app, build, source_kind, began: Instant::now(), heard }
    }

    /// Passes everything on to `out`, and writes down its lines.
    pub fn listen(&self, out: &Progress) -> Progress {
        let (heard, out) = (Arc::clone(&self.heard), out.clone());
        Progress::new(move |event| {
            if let Event::Line(text) = event {
                heard.lock().unwrap_or_else(PoisonError::into_inner).line(text);
            }
            out.tell(event);
        })
    }
}

impl Heard {
    fn line(&mut self, text: &str) {
        for line in text.lines() {
            if let Some(name) = line.strip_prefix(HEADLINE) {
                self.next(Some(name.to_owned()));
            }
            self.log.line(line);
        }
    }

    fn next(&mut self, name: Option<String>) {
        if let Some((name, began)) = self.current.take()
            && self.phases.len() < PHASES_MAX
        {
            let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.phases.push(Phase { name, millis });
        }
        self.current = name.map(|name| (name, Instant::now()));
    }
}

impl Platform {
    /// Begins the record of an attempt.
    pub(in crate::platform) async fn begin_record(
        &self,
        handle: &AppHandle,
        build: BuildId,
        source_kind: SourceKind,
        source: &str,
    ) -> Result<Recorder, Error> {
        let new = NewRecord {
            id: build,
            app: handle.app().id,
            actor: handle.user().username.to_string(),
            source_kind,
            source: source.to_owned(),
        };
        build_records::insert(self.0.store.pool(), &new).await?;
        Ok(Recorder::new(handle.app().id, build, source_kind, self.0.builder.logs().begin(build)))
    }

    /// Ends the record by the outcome of the whole deploy. A record that cannot be written costs the deploy nothing.
    pub(in crate::platform) async fn end_record<T>(&self, recorder: &Recorder, outcome: &Result<T, Error>) {
        let (status, lines) = match outcome {
            Ok(_) => (BuildStatus::Succeeded, Vec::new()),
            Err(error) => (BuildStatus::Failed, error.lines()),
        };
        metrics().build(recorder.source_kind, status, recorder.began.elapsed());
        let phases = {
            let mut heard = recorder.heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.next(None);
            lines.iter().for_each(|line| heard.log.line(&format!(" !     {line}")));
            heard.phases.clone()
        };
        let ending = Ending { status, phases, error: lines.join("\n") };
        let recorded = async {
            build_records::end(self.0.store.pool(), recorder.build, &ending).await?;
            build_records::delete_old(self.0.store.pool(), recorder.app, RECORDS_KEPT).await
        };
        match recorded.await {
            Ok(forgotten) => forgotten.into_iter().for_each(|build| self.remove_log(build)),
            Err(error) => {
                tracing::error!(build.id = %recorder.build, error = ?error, "cannot record the end of a build")
            }
        }
    }

    fn remove_log(&self, build: BuildId) {
        if let Err(error) = self.0.builder.logs().remove(build) {
            tracing::warn!(build.id = %build, %error, "cannot remove the log of an old build");
        }
    }

    /// Records of an app's attempts to build, newest first; those that failed, too.
    pub async fn build_records(&self, handle: &AppHandle, page: Page) -> Result<Listing<BuildRecord>, Error> {
        let (pool, app) = (self.0.store.pool(), handle.app().id);
        let entries = build_records::list(pool, app, page).await?;
        Ok(Listing::of(page, entries, build_records::count(pool, app)).await?)
    }

    /// The record of one attempt.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn build_record(&self, handle: &AppHandle, build: BuildId) -> Result<BuildRecord, Error> {
        let found = build_records::get(self.0.store.pool(), build).await?;
        let found = found.filter(|record| record.app_id == handle.app().id);
        found.ok_or_else(|| Error::NotFound(format!("build {build}")))
    }

    /// What an attempt said, as far as it went; whole lines, at most 8 MiB. Empty when its log is gone.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the app had no such attempt.
    pub async fn build_log(&self, handle: &AppHandle, build: BuildId) -> Result<Vec<u8>, Error> {
        self.build_record(handle, build).await?;
        let logs = self.0.builder.logs().clone();
        let read = tokio::task::spawn_blocking(move || logs.read(build)).await;
        let read = read.map_err(|error| Error::Internal(error.into()))?;
        Ok(read
            .map_err(|error| Error::Internal(anyhow::Error::new(error).context("reading a build's log")))?
            .unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::BuildLogs;

    #[test]
    fn headlines_part_the_phases_and_every_line_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let logs = BuildLogs::open(dir.path()).unwrap();
        let build = BuildId::new();
        let recorder = Recorder::new(AppId::new(), build, SourceKind::Commit, logs.begin(build));
        let passed = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&passed);
        let out = recorder.listen(&Progress::new(move |event| sink.lock().unwrap().push(format!("{event:?}"))));
        ["before", "-----> Compiling", "       one\n       two", "-----> Launching"]
            .iter()
            .for_each(|line| out.line(line));
        out.tell(Event::Switched);
        recorder.heard.lock().unwrap().next(None);
        let phases: Vec<String> =
            recorder.heard.lock().unwrap().phases.iter().map(|phase| phase.name.clone()).collect();
        assert_eq!(phases, ["Compiling", "Launching"]);
        let log = String::from_utf8(logs.read(build).unwrap().unwrap()).unwrap();
        assert_eq!(log, "before\n-----> Compiling\n       one\n       two\n-----> Launching\n");
        assert_eq!(passed.lock().unwrap().len(), 5, "everything is passed on");
    }
}
