//! Rebases: every app that was laid on another run image than the present one moves to that, as a new release, without
//! its buildpacks.
//!
//! The command line asks for it in the database; the server, which alone starts instances, does it, app by app. What is
//! noted for an app is not done again, and what is not noted is looked at again: so it goes on after a crash.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::operations::{Live, Progress};
use super::{Error, OwnerHandle, Platform};
use crate::build::{AppJson, STACK_NAME};
use crate::model::{
    App, Build, BuildId, BuildKind, OperationKind, RebaseOutcome, RebaseResult, Release, SourceKind, Step,
};
use crate::release::{self, Change, Parts};
use crate::store::builds::{self, BuildResult, NewBuild};
use crate::store::{Page, Store, apps, rebases, users};

/// Between two looks for a rebase that was asked for.
const PERIOD: Duration = Duration::from_secs(2);
/// Records of rebases are kept for so long.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// Whom rebases are by, in records and logs.
const ACTOR: &str = "slipway";

impl Platform {
    /// Does the rebases that are asked for, one after the other, until the server stops.
    pub async fn rebase_on_request(self) {
        loop {
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
            // In a task that is waited for at the end: a rollout is finished, or undone, but not dropped.
            let platform = self.clone();
            if let Err(error) = self.owned(async move { platform.next_rebase().await }).await {
                tracing::warn!(error = ?error, "cannot go on with a rebase now");
            }
        }
    }

    async fn next_rebase(&self) -> Result<(), Error> {
        let pool = self.0.store.pool();
        let Some(id) = rebases::next(pool).await? else { return Ok(()) };
        let done = rebases::results(pool, &id).await?;
        for app in apps::list(pool, None, Page::ALL).await? {
            if done.iter().any(|result| result.app_id == app.id) || app.is_destroying {
                continue;
            }
            let result = self.rebase_app(&app).await;
            // What was called off by the end of the server is for its next life.
            if self.0.stop.is_cancelled() && result.is_err() {
                return Ok(());
            }
            let (outcome, detail) = match result {
                Ok(Rebased::As(release)) => (RebaseOutcome::Rebased, format!("v{}", release.version)),
                Ok(Rebased::NeedNot(why)) => (RebaseOutcome::Unneeded, why.to_owned()),
                Err(error) => {
                    if let Error::Internal(cause) = &error {
                        tracing::error!(app.name = %app.name, error = format!("{cause:#}"), "a rebase failed on our side");
                    }
                    (RebaseOutcome::Failed, error.lines().join("\n"))
                }
            };
            tracing::info!(app.name = %app.name, %outcome, detail, "rebase");
            rebases::record(pool, &id, &app, outcome, &detail).await?;
            if self.0.stop.is_cancelled() {
                return Ok(());
            }
        }
        rebases::finish(pool, &id).await?;
        Ok(rebases::delete_finished(pool, KEPT).await?)
    }

    /// Moves one app, under its lock; any failure leaves it on the release that it has.
    async fn rebase_app(&self, app: &App) -> Result<Rebased, Error> {
        // Looked at twice: the first time without the lock, so that an app that needs nothing waits for nobody.
        if let Err(why) = self.to_rebase(app).await? {
            return Ok(Rebased::NeedNot(why));
        }
        let owner = users::by_id(self.0.store.pool(), app.owner_id).await?;
        let owner = owner.ok_or_else(|| Error::NotFound(format!("the owner of '{}'", app.name)))?;
        let handle = OwnerHandle::of_owner(app.clone(), &owner);
        let (none, never) = (Progress::none(), CancellationToken::new());
        let mut live = self.begin_as(OperationKind::Rebase, handle.handle(), ACTOR, &none, &never).await?;
        let outcome = self.rebase_with(&mut live, &handle).await;
        let outcome = self.undone_on_error(&mut live, app, outcome).await;
        live.end(outcome).await
    }

    async fn rebase_with(&self, live: &mut Live, handle: &OwnerHandle) -> Result<Rebased, Error> {
        let build = match self.to_rebase(handle.app()).await? {
            Ok(build) => build,
            Err(why) => return Ok(Rebased::NeedNot(why)),
        };
        live.journal.step(Step::Build).await?;
        let id = BuildId::new();
        let source = build.commit.as_deref().unwrap_or(&build.image);
        let recorder = self.begin_record(handle.handle(), id, SourceKind::Commit, source).await?;
        let outcome = self.lay_and_release(live, handle, &build, id, &recorder.listen(&Progress::none())).await;
        self.end_record(&recorder, &outcome).await;
        outcome.map(Rebased::As)
    }

    async fn lay_and_release(
        &self,
        live: &mut Live,
        handle: &OwnerHandle,
        build: &Build,
        id: BuildId,
        out: &Progress,
    ) -> Result<Release, Error> {
        let (store, app) = (&self.0.store, handle.app());
        let new = NewBuild {
            app: app.id,
            owner: build.owner_id,
            kind: build.kind,
            image: build.image.clone(),
            engine_image: String::new(),
            commit: build.commit.clone(),
            dockerfile: build.dockerfile.clone(),
        };
        builds::insert(store.pool(), id, &new).await?;
        builds::set_runtimes(store.pool(), id, &build.runtimes).await?;
        out.line(&format!("-----> Laying the slug of {} on the rebuilt {STACK_NAME}", build.short_source()));
        let engine_image = tokio::select! {
            biased;
            () = self.0.stop.cancelled() => return Err(Error::Cancelled),
            laid = self.0.builder.rebase(app, build, id, &live.operation().id) => laid?,
        };
        // A build of the same source by the buildpacks would have another fingerprint on this stack.
        let result = BuildResult {
            engine_image,
            fingerprint: None,
            slug: build.slug.clone(),
            procfile: build.procfile.clone(),
            port: build.port,
            health: build.health.clone(),
            cron: build.cron.clone(),
        };
        builds::succeed(store.pool(), id, &result).await?;
        let image = self.0.engine.image(&result.engine_image).await?;
        self.record_image(id, image, Some(build.id)).await?;
        let summary = Change::Rebase { source: build.short_source(), stack: STACK_NAME }.summary();
        let parts = Parts { build: Some(id), config: self.config(handle.handle()).await?.id };
        let wishes = AppJson::default();
        let released = self.release_and_roll_out(live, handle.handle(), parts, summary, &wishes, out).await?;
        Ok(released.release)
    }

    /// The build of the app that has to move, or why it need not.
    async fn to_rebase(&self, app: &App) -> Result<Result<Build, &'static str>, Error> {
        let Some(build) = release::current(&self.0.store, app.id).await?.build else {
            return Ok(Err("it has no build"));
        };
        if build.kind != BuildKind::Slug {
            return Ok(Err("it is no slug; a push builds it anew"));
        }
        Ok(if self.0.builder.is_on_present_stack(&build).await? { Err("it is up to date") } else { Ok(build) })
    }
}

/// What was done with an app.
enum Rebased {
    As(Release),
    NeedNot(&'static str),
}

/// How far a rebase is.
#[derive(Debug, Clone)]
pub struct RebaseProgress {
    /// What was done, in the order of the work; only ever grows.
    pub results: Vec<RebaseResult>,
    /// Whether every app was looked at.
    pub is_finished: bool,
}

/// Asks the server of this database for a rebase of all apps; yields its id. It is done even if nobody follows it.
///
/// # Errors
/// When the database fails.
pub async fn request_rebase(store: &Store) -> Result<String, Error> {
    Ok(rebases::request(store.pool()).await?)
}

/// How far a rebase is.
///
/// # Errors
/// When the database fails.
pub async fn rebase_progress(store: &Store, id: &str) -> Result<RebaseProgress, Error> {
    // The end is looked for first: what was done before it is then all there.
    let is_finished = rebases::is_finished(store.pool(), id).await?;
    Ok(RebaseProgress { results: rebases::results(store.pool(), id).await?, is_finished })
}
