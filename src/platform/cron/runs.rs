//! A run from its turn to its end, whichever life of the server sees which part of it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;

use super::owned::Owned;
use crate::model::{
    CronPolicy, CronRun, CronRunState, CronTask, ProcessType, Procfile, QuotaExceeded, QuotaKind, Timestamp, UserId,
};
use crate::platform::deploy::target;
use crate::platform::run::logged;
use crate::platform::{Error, Platform};
use crate::release;
use crate::rollout::{CronEnd, OneOffError, OneOffPlace, Target};
use crate::store::cron::{self, RunEnd};
use crate::store::{StoreError, apps, quotas};

/// Between two tries to record an end.
const RETRY: Duration = Duration::from_secs(1);

/// What is said of a run whose app is somebody else's now.
const GIVEN_AWAY: &str = "the app was given to somebody else";

/// What came of looking whether it is a run's turn.
enum Turn {
    /// It is looked after, or has ended.
    Over,
    /// Something of its own stands in the way.
    NotYet,
    /// The account has as many as it may have.
    Full(QuotaExceeded),
}

/// Why a run has no container.
enum NoStart {
    /// It will never have one.
    Failed(String),
    /// It can be tried again; nothing of it is in the engine.
    Later(String),
    /// Nobody knows what is in the engine. The next look will.
    Unknown(OneOffError),
    /// It was called off.
    CalledOff,
}

impl Platform {
    /// Starts runs of an account that wait, in their order, as many as it may have at once.
    pub(super) async fn start_waiting(&self, owner: UserId) -> Result<(), Error> {
        for run in cron::waiting(self.0.store.pool(), owner).await? {
            if let Turn::Full(exceeded) = self.take_turn(&run).await? {
                self.say_that_it_waits(&run, &exceeded.to_string());
                return Ok(());
            }
        }
        Ok(())
    }

    async fn take_turn(&self, run: &CronRun) -> Result<Turn, Error> {
        let store = &self.0.store;
        let app = apps::by_id(store.pool(), run.app_id).await?.filter(|app| !app.is_destroying);
        // The run goes with its app.
        let Some(app) = app else { return Ok(Turn::Over) };
        let current = release::current(store, app.id).await?;
        let task = current.build.iter().flat_map(|build| &build.cron).find(|task| task.id == run.task).cloned();
        let off = match &task {
            _ if app.owner_id != run.owner_id => Some(GIVEN_AWAY.to_owned()),
            None => Some(format!("v{} has no such task", current.release.version)),
            Some(task) if task.is_paused => Some(format!("v{} pauses the task", current.release.version)),
            Some(_) => None,
        };
        let (Some(task), None) = (task, &off) else {
            self.end_run(run, RunEnd::cancelled(off.unwrap_or_default())).await?;
            return Ok(Turn::Over);
        };
        if task.policy != CronPolicy::Allow && self.must_wait_for_another(run, task.policy).await? {
            return Ok(Turn::NotYet);
        }
        let Some(owned) = self.0.cron.own(run.id) else { return Ok(Turn::NotYet) };
        let mut tx = store.begin().await?;
        let admitted =
            quotas::check_count(&mut tx, &self.0.settings.quotas, run.owner_id, QuotaKind::CronRuns, 1).await?;
        if let Err(exceeded) = admitted {
            return Ok(Turn::Full(exceeded));
        }
        if !cron::claim(&mut *tx, run.id, current.release.version).await? {
            return Ok(Turn::NotYet);
        }
        tx.commit().await.map_err(StoreError::from)?;
        self.0.cron.forget(run.id);
        let (platform, run, target) = (self.clone(), run.clone(), target(&app, &current)?);
        self.0.tracker.spawn(async move { platform.run_to_its_end(run, task, target, owned).await });
        Ok(Turn::Over)
    }

    /// Whether a run of the same task has to end first; if the task says so, it is called off.
    async fn must_wait_for_another(&self, run: &CronRun, policy: CronPolicy) -> Result<bool, Error> {
        let mut others = cron::live(self.0.store.pool(), run.app_id, Some(&run.task)).await?;
        others.retain(|other| other.id != run.id && other.state != CronRunState::Waiting);
        if policy == CronPolicy::Replace {
            let why = format!("replaced by {}", run.label());
            others.iter().for_each(|other| self.0.cron.call_off(other.id, &why));
        }
        Ok(!others.is_empty())
    }

    fn say_that_it_waits(&self, run: &CronRun, why: &str) {
        if self.0.cron.is_news(run.id) {
            self.0.logs.note(run.app_id, "cron", &format!("{} ('{}') waits: {why}", run.label(), run.task));
        }
    }

    async fn run_to_its_end(self, run: CronRun, task: CronTask, target: Target, owned: Owned) {
        match self.start_run(&run, &task, &target, &owned).await {
            Ok((place, container)) => self.follow_run(run, place, &container, owned).await,
            Err(NoStart::Failed(why)) => {
                self.end_until_recorded(&run, RunEnd::failed(None, format!("did not start: {why}"))).await;
                drop(owned);
                self.0.cron.wake();
            }
            Err(NoStart::CalledOff) => {
                self.end_until_recorded(&run, RunEnd::cancelled(owned.why())).await;
                drop(owned);
                self.0.cron.wake();
            }
            Err(NoStart::Later(why)) => {
                self.say_that_it_waits(&run, &why);
                if let Err(error) = cron::give_back(self.0.store.pool(), run.id).await {
                    tracing::warn!(run.id = %run.id, %error, "cannot let a scheduled command wait; the next look does");
                }
            }
            Err(NoStart::Unknown(error)) => {
                tracing::warn!(run.id = %run.id, %error, "nobody knows whether a scheduled command was started");
            }
        }
    }

    async fn start_run(
        &self,
        run: &CronRun,
        task: &CronTask,
        target: &Target,
        owned: &Owned,
    ) -> Result<(OneOffPlace, String), NoStart> {
        let place = self.0.rollouts.enter_cron(&target.app, run, target.release.version).await?;
        let ensured = tokio::select! {
            biased;
            () = owned.cancel.cancelled() => return Err(NoStart::CalledOff),
            () = self.0.stop.cancelled() => return Err(NoStart::Later("Slipway is stopping".to_owned())),
            ensured = self.0.builder.ensure_image(&target.build) => ensured,
        };
        ensured.map_err(|error| match Error::from(error) {
            error @ Error::Unavailable(_) => NoStart::Later(error.to_string()),
            error => NoStart::Failed(error.to_string()),
        })?;
        let command = command_of(task, &target.build.procfile);
        let container = self.0.rollouts.start_cron(&place, target, &command, &environment(run)).await?;
        let due = run.scheduled_at.map_or_else(|| "asked for".to_owned(), |at| format!("due at {at}"));
        let version = target.release.version;
        let text = format!("{} ('{}', {due}) begins on v{version}: {}", run.label(), run.task, logged(&command));
        self.0.logs.note(run.app_id, "cron", &text);
        Ok((place, container))
    }

    /// Follows a run whose container was started, records its end, and lets the next one have its place.
    pub(super) async fn follow_run(&self, run: CronRun, place: OneOffPlace, container: &str, owned: Owned) {
        // A row that says less than there is does no harm: whoever finds it asks the engine.
        if let Err(error) = cron::started(self.0.store.pool(), run.id).await {
            tracing::warn!(run.id = %run.id, %error, "cannot record that a scheduled command was started");
        }
        let ago = run.started_at.map(Timestamp::elapsed).unwrap_or_default();
        let rollouts = &self.0.rollouts;
        let end = match rollouts.follow_cron(&place, container, ago, &owned.cancel, &self.0.stop).await {
            CronEnd::Left => return,
            CronEnd::Exited(status) if status.code == 0 => RunEnd::succeeded(),
            CronEnd::Exited(status) => RunEnd::failed(Some(status.code), rollouts.reason_of(status)),
            CronEnd::TimedOut { limit } => {
                let limit = limit.as_secs();
                RunEnd::failed(None, format!("was ended after {limit} s, the longest that a command may run"))
            }
            CronEnd::Lost => RunEnd::failed(None, "somebody removed its container".to_owned()),
            CronEnd::Cancelled => RunEnd::cancelled(owned.why()),
            CronEnd::AppGone => RunEnd::cancelled("the app was destroyed".to_owned()),
        };
        // Recorded while the container is there: from nothing else would the next life know that it ran.
        if !self.end_until_recorded(&run, end).await {
            return;
        }
        rollouts.remove_cron(run.id, container).await;
        drop((place, owned));
        self.0.cron.wake();
    }

    /// Says whether it is recorded; else the server stops.
    async fn end_until_recorded(&self, run: &CronRun, end: RunEnd) -> bool {
        while let Err(error) = self.end_run(run, end.clone()).await {
            tracing::warn!(run.id = %run.id, error = ?error, "cannot record the end of a scheduled command yet");
            tokio::select! {
                () = self.0.stop.cancelled() => return false,
                () = sleep(RETRY) => {}
            }
        }
        true
    }

    pub(super) async fn end_run(&self, run: &CronRun, end: RunEnd) -> Result<(), Error> {
        let mut tx = self.0.store.begin().await?;
        let is_news = cron::end(&mut tx, run, &end).await?;
        tx.commit().await.map_err(StoreError::from)?;
        self.0.cron.forget(run.id);
        if is_news {
            self.0.logs.note(run.app_id, "cron", &format!("{} ('{}') {}", run.label(), run.task, said(&end)));
        }
        Ok(())
    }

    /// Calls off the runs that count for somebody whose app it is no longer.
    pub(super) async fn end_runs_of_former_owners(&self) -> Result<(), Error> {
        for run in cron::of_former_owners(self.0.store.pool()).await? {
            if run.state == CronRunState::Waiting {
                self.take_turn(&run).await?;
            } else {
                self.0.cron.call_off(run.id, GIVEN_AWAY);
            }
        }
        Ok(())
    }
}

impl From<OneOffError> for NoStart {
    fn from(error: OneOffError) -> Self {
        match error {
            error if error.is_outage() => Self::Unknown(error),
            OneOffError::TooMany => Self::Later(error.to_string()),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl RunEnd {
    fn succeeded() -> Self {
        Self { state: CronRunState::Succeeded, exit_status: Some(0), detail: String::new() }
    }

    pub(super) fn failed(exit_status: Option<i64>, detail: String) -> Self {
        Self { state: CronRunState::Failed, exit_status, detail }
    }

    fn cancelled(detail: String) -> Self {
        Self { state: CronRunState::Cancelled, exit_status: None, detail }
    }
}

/// The end of a run as the end of a sentence.
fn said(end: &RunEnd) -> String {
    match (end.state, end.exit_status) {
        (_, Some(status)) if end.detail.is_empty() => format!("ended with status {status}"),
        (_, Some(status)) => format!("ended with status {status}: {}", end.detail),
        (CronRunState::Cancelled, None) => format!("was called off: {}", end.detail),
        (_, None) => end.detail.clone(),
    }
}

/// What is run: a first word that is a process type stands for that type's command, as in Dokku.
fn command_of(task: &CronTask, procfile: &Procfile) -> String {
    let (first, rest) = match task.command.find(char::is_whitespace) {
        Some(end) => task.command.split_at(end),
        None => (task.command.as_str(), ""),
    };
    let process = first.parse::<ProcessType>().ok();
    match process.and_then(|process| procfile.command(&process)) {
        Some(command) => format!("{command}{rest}"),
        None => task.command.clone(),
    }
}

/// What a run finds in its environment beside what every one-off does.
fn environment(run: &CronRun) -> BTreeMap<String, String> {
    let due = run.scheduled_at.map(|at| ("SLIPWAY_CRON_DUE", at.to_string()));
    let all = [("SLIPWAY_CRON_TASK", run.task.to_string()), ("SLIPWAY_CRON_RUN", run.label())];
    all.into_iter().chain(due).map(|(name, value)| (name.to_owned(), value)).collect()
}
