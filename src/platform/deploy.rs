//! The sentence: build, then release, then rollout.

mod archive;
mod build;
mod cancel;
pub(super) mod processes;
mod record;
mod release_phase;
mod wishes;

use std::sync::Arc;

pub use archive::ArchiveRequest;
pub use cancel::RunningBuilds;
use tokio_util::sync::CancellationToken;

use super::operations::{Live, Progress};
use super::{AppHandle, CleanupDue, Error, Platform};
use crate::build::AppJson;
use crate::git::{self, Source};
use crate::model::{App, BuildId, OperationKind, ProcessType, Release, SourceKind, Step, Timestamp, User};
use crate::release::{self, Change, Contents, Parts};
use crate::rollout::{Event, Scope, Target};
use crate::store::quotas::Wanted;
use crate::store::{StoreError, build_records, builds, configs, cron, process_groups, releases};

/// A tree of files to build and deploy.
pub struct SourceRequest {
    /// Whose app, and who deploys.
    pub handle: AppHandle,
    /// The tree; that of a pushed commit is readable although git has not taken it yet.
    pub source: Arc<Source>,
    /// Build from nothing: neither the image of an earlier build nor caches are used.
    pub no_cache: bool,
    /// Build anew, with caches, although nothing may have changed since an earlier build.
    pub redeploy: bool,
}

/// What a push brings.
pub struct PushRequest {
    /// The pushed commit, and how to build it.
    pub deploy: SourceRequest,
    /// The repository.
    pub repository: std::path::PathBuf,
    /// The ref that will move, `refs/heads/main`.
    pub reference: String,
    /// Where the ref pointed when the push began.
    pub old: Option<String>,
}

/// A push that serves. The app stays locked until git has moved the ref, so that the next push sees it moved.
pub struct Deployed {
    live: Live,
    cleanup_due: CleanupDue,
    /// The release that serves now.
    pub release: Release,
}

impl Deployed {
    /// The ref has moved, or cannot move any more: gives the app's lock back.
    pub async fn finish(self) {
        // The end of the record is logged where it fails; the deploy itself stands.
        let _ended = self.live.end(Ok(())).await;
        self.cleanup_due.tell();
    }
}

impl Platform {
    /// Builds a pushed commit, cuts a release and rolls it out.
    ///
    /// `cancel` stops it until the release is cut; from then on it finishes whatever happens to the pusher.
    ///
    /// # Errors
    /// Whatever the error, the old release serves as before and the same commit can be pushed again.
    pub async fn push(&self, push: PushRequest, out: Progress, cancel: CancellationToken) -> Result<Deployed, Error> {
        let (platform, cancel) = (self.clone(), cancel.child_token());
        self.owned(async move {
            let app = push.deploy.handle.app();
            let granted = platform.clone();
            let work = async {
                let mut live = platform.begin(OperationKind::Push, &push.deploy.handle, &out, &cancel).await?;
                let outcome = async {
                    refuse_moved_ref(&push).await?;
                    platform.check_repositories(app).await?;
                    platform.deploy(&mut live, &push.deploy, SourceKind::Commit, &out, &cancel).await
                };
                let outcome = outcome.await;
                match platform.undone_on_error(&mut live, app, outcome).await {
                    Ok(deployed) => {
                        Ok(Deployed { live, cleanup_due: platform.0.cleanup_due.clone(), release: deployed.release })
                    }
                    Err(error) => live.end(Err(error)).await,
                }
            };
            granted.while_granted(&push.deploy.handle, &cancel, work).await
        })
        .await
    }

    /// Builds a source, cuts a release and rolls it out, on the record.
    async fn deploy(
        &self,
        live: &mut Live,
        request: &SourceRequest,
        kind: SourceKind,
        out: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Contents, Error> {
        let (id, cancel) = (BuildId::new(), cancel.child_token());
        let recorder = self.begin_record(&request.handle, id, kind, request.source.commit()).await?;
        let outcome = self.deploy_as(live, request, id, &recorder.listen(out), &cancel).await;
        self.end_record(&recorder, &outcome).await;
        outcome
    }

    async fn deploy_as(
        &self,
        live: &mut Live,
        request: &SourceRequest,
        id: BuildId,
        out: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Contents, Error> {
        live.journal.step(Step::Build).await?;
        let handle = &request.handle;
        self.refuse_source_for_managed(handle.app().id).await?;
        let before = release::current(&self.0.store, handle.app().id).await?;
        let plan = self.plan(request, &before.config).await?;
        plan.app_json.warnings.iter().for_each(|warning| out.line(&format!(" !     {warning}")));
        let config = self.wanted_config(handle, &plan.app_json, out).await?;
        let running = self.0.running_builds.enter(id, cancel.clone());
        let build = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::Cancelled),
            build = self.build(live, request, id, &plan, &config, out) => build?,
        };
        drop(running);
        self.grant(handle).check().await?;
        let summary = Change::Build { by: &handle.user().username, source: build.short_source() }.summary();
        let parts = Parts { build: Some(build.id), config: config.id };
        let released = self.release_and_roll_out(live, handle, parts, summary, &plan.app_json, out).await?;
        let (app, version) = (handle.app(), released.release.version);
        let is_first = before.release.build_id.is_none();
        self.after_deploy(&target(app, &released)?, &plan.app_json.scripts, is_first, out).await;
        tell_schedule(&released, out);
        out.line(&format!("-----> done, {}:v{version} deployed to Slipway", app.name));
        // What takes no requests has no address.
        let built = released.build.as_ref();
        if built.is_none_or(|built| built.has_process(&ProcessType::web()) || built.has_process(&ProcessType::cmd())) {
            out.line(&format!("       http://{}.{}{}", app.name, self.0.settings.domain, self.0.settings.url_suffix));
        }
        Ok(released)
    }

    /// Runs one change of an app's release that needs no build: `parts` says what the release is made of.
    pub(super) async fn change_release(
        &self,
        kind: OperationKind,
        handle: &AppHandle,
        out: &Progress,
        parts: impl AsyncFnOnce(&Contents, &User) -> Result<(Parts, String), Error>,
    ) -> Result<Contents, Error> {
        let mut live = self.begin(kind, handle, out, &CancellationToken::new()).await?;
        let change = async {
            let current = release::current(&self.0.store, handle.app().id).await?;
            let (parts, summary) = parts(&current, handle.user()).await?;
            self.release_and_roll_out(&mut live, handle, parts, summary, &AppJson::default(), out).await
        };
        let outcome = change.await;
        let outcome = self.undone_on_error(&mut live, handle.app(), outcome).await;
        live.end(outcome).await
    }

    /// Cuts the release and, if it has a build, rolls it out; without one it counts at once. `wishes` are those of the tree
    /// that was pushed, none for a release that no push makes.
    pub(super) async fn release_and_roll_out(
        &self,
        live: &mut Live,
        handle: &AppHandle,
        parts: Parts,
        summary: String,
        wishes: &AppJson,
        out: &Progress,
    ) -> Result<Contents, Error> {
        let (store, app) = (&self.0.store, handle.app());
        live.journal.step(Step::Release).await?;
        let before = release::current(store, app.id).await?.build;
        let mut tx = store.begin().await?;
        let operation = live.operation().id.clone();
        let mut release = release::cut(&mut tx, &operation, app.id, handle.user(), parts, summary).await?;
        if parts.build.is_none() {
            releases::mark_deployed(&mut *tx, release.id).await?;
            cron::replace(&mut tx, app.id, &[], Timestamp::now()).await?;
        }
        tx.commit().await.map_err(StoreError::from)?;
        let contents = release::contents(store, release.clone()).await?;
        if let Some(build) = &contents.build {
            let target = target(app, &contents)?;
            let group = process_groups::managed_of_app(store.pool(), app.id).await?;
            let has_command = group.as_ref().is_some_and(|group| group.command.is_some() || group.entrypoint.is_some());
            let formation = self.formation_for(app, before.as_ref(), build, wishes, has_command, out).await?;
            let coming = Wanted::of(&formation, &contents.config.limits, self.0.settings.instance_memory);
            self.admit_now(app, &live.operation().id, coming).await?;
            self.release_phase(&target, &wishes.scripts, out).await?;
            let progress = |event: Event<'_>| {
                if event == Event::Switched {
                    self.mark_release_as(app.id, contents.release.version, &contents.release.summary);
                }
                out.tell(event);
            };
            match group {
                Some(group) => {
                    self.roll_out_managed(live, &group, &target).await?;
                    progress(Event::Switched);
                }
                None => {
                    self.0.rollouts.run(&mut live.journal, &target, &formation, Scope::Replace, &progress).await?;
                }
            }
        }
        if contents.build.is_none() {
            self.mark_release_as(app.id, release.version, &release.summary);
        }
        release.status = crate::model::ReleaseStatus::Deployed;
        self.remove_old_releases(app).await?;
        Ok(Contents { release, ..contents })
    }

    /// After a failure: what the operation recorded and never switched to goes.
    pub(super) async fn undone_on_error<T>(
        &self,
        live: &mut Live,
        app: &App,
        outcome: Result<T, Error>,
    ) -> Result<T, Error> {
        if let Err(error) = &outcome {
            let pool = self.0.store.pool();
            let undone = async {
                builds::fail_pending(pool, app.id).await?;
                build_records::fail_pending(pool, app.id, &error.to_string()).await?;
                releases::delete_pending(pool, app.id).await?;
                configs::delete_unused(pool, app.id).await
            };
            if let Err(undo) = undone.await {
                live.leave_unsettled();
                tracing::error!(app.name = %app.name, error = ?undo, "cannot undo a failed change yet");
            }
            for line in error.lines() {
                self.0.logs.note(app.id, "deploy", &line);
            }
        }
        outcome
    }
}

/// Says what is run when from now on, with the ids of the tasks.
fn tell_schedule(released: &Contents, out: &Progress) {
    let tasks = released.build.iter().flat_map(|build| &build.cron).collect::<Vec<_>>();
    if tasks.is_empty() {
        return;
    }
    out.line("-----> Scheduled commands");
    for task in tasks {
        let state = if task.is_paused { ", paused" } else { "" };
        out.line(&format!("       {}: {} ({}{state})", task.id, task.schedule, task.zone));
    }
}

/// What a release starts.
pub(super) fn target(app: &App, contents: &Contents) -> Result<Target, Error> {
    let build = contents.build.clone();
    let build = build.ok_or_else(|| Error::Refused("No build associated with this release".to_owned()))?;
    Ok(Target { app: app.clone(), release: contents.release.clone(), build, config: contents.config.clone() })
}

/// A push that waited for another one may find that the ref has moved: git would refuse it after the deploy, too late.
async fn refuse_moved_ref(push: &PushRequest) -> Result<(), Error> {
    let (repository, reference) = (push.repository.clone(), push.reference.clone());
    let now = tokio::task::spawn_blocking(move || git::read_ref(&repository, &reference)).await;
    let now = now.map_err(|error| Error::Internal(error.into()))??;
    if now != push.old {
        let branch = push.reference.trim_start_matches("refs/heads/");
        return Err(Error::Refused(format!(
            "{branch} moved while this push waited. Type: git pull --rebase <remote> {branch}, then push again"
        )));
    }
    Ok(())
}
