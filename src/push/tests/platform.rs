//! A platform without builds: keys, apps with locks, and deploys that do what the pushed file `deploy` says.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use russh::keys::{HashAlg, PublicKey};
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::git::{Repositories, Source};
use crate::model::{AppId, AppName, Quota, Username};
use crate::push::{Progress, Push, PushBackend, PushLease, Rejected};

/// One call of [`PushBackend::receive`] and what became of it.
#[derive(Debug, Clone)]
pub(super) struct Deploy {
    pub(super) user: String,
    pub(super) app: String,
    pub(super) commit: String,
    pub(super) old: Option<String>,
    pub(super) reference: String,
    pub(super) options: Vec<String>,
    pub(super) cancelled: Option<Instant>,
    pub(super) has_returned: bool,
    /// What the lease was told.
    pub(super) moved: Option<bool>,
}

struct App {
    id: AppId,
    owner: String,
    lock: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    keys: HashMap<String, Username>,
    apps: HashMap<String, App>,
    deploys: Vec<Deploy>,
}

pub(super) struct Platform {
    state: Arc<Mutex<State>>,
    repositories: Repositories,
    /// Lets a deploy that waits go on.
    pub(super) go: Semaphore,
}

struct Lease {
    state: Arc<Mutex<State>>,
    deploy: usize,
    _lock: OwnedMutexGuard<()>,
}

impl Platform {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { state: Arc::default(), repositories: Repositories::new(root), go: Semaphore::new(0) }
    }

    pub(super) fn add_key(&self, public: &str, user: &str) {
        let fingerprint = PublicKey::from_openssh(public).unwrap().fingerprint(HashAlg::Sha256).to_string();
        self.state.lock().unwrap().keys.insert(fingerprint, user.parse().unwrap());
    }

    pub(super) fn add_app(&self, name: &str, owner: &str) {
        let id = AppId::new();
        self.repositories.ensure(id, 0).unwrap();
        let app = App { id, owner: owner.to_owned(), lock: Arc::default() };
        self.state.lock().unwrap().apps.insert(name.to_owned(), app);
    }

    pub(super) fn path(&self, app: &str) -> PathBuf {
        self.repositories.path(self.state.lock().unwrap().apps[app].id)
    }

    pub(super) fn deploys(&self) -> Vec<Deploy> {
        self.state.lock().unwrap().deploys.clone()
    }

    fn update(&self, deploy: usize, change: impl FnOnce(&mut Deploy)) {
        change(&mut self.state.lock().unwrap().deploys[deploy]);
    }

    fn begin(&self, push: &Push) -> usize {
        let deploy = Deploy {
            user: push.user.to_string(),
            app: push.app.to_string(),
            commit: push.source.commit().to_owned(),
            old: push.old.clone(),
            reference: push.reference.clone(),
            options: push.options.clone(),
            cancelled: None,
            has_returned: false,
            moved: None,
        };
        let deploys = &mut self.state.lock().unwrap().deploys;
        deploys.push(deploy);
        deploys.len() - 1
    }

    async fn deploy(
        &self,
        source: &Source,
        deploy: usize,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<(), Rejected> {
        let wish = source.file("deploy", 100).unwrap().unwrap_or_default();
        progress.line("-----> Deploying");
        match std::str::from_utf8(&wish).unwrap() {
            "fail" => return Err(Rejected { lines: vec!["The build failed.".into(), "Fix it.".into()] }),
            // Not in time any more once cancelled.
            "wait" => {
                progress.line("       waiting");
                tokio::select! {
                    permit = self.go.acquire() => permit.unwrap().forget(),
                    () = cancel.cancelled() => {
                        self.update(deploy, |deploy| deploy.cancelled = Some(Instant::now()));
                        return Err(Rejected::line("Cancelled."));
                    }
                }
            }
            // Too far to stop.
            "released" => {
                progress.line("       waiting");
                self.go.acquire().await.unwrap().forget();
                let cancelled = cancel.is_cancelled().then(Instant::now);
                self.update(deploy, |deploy| deploy.cancelled = cancelled);
            }
            "loud" => (0..100_000).for_each(|n| progress.line(&format!("       line {n} {}", "x".repeat(20)))),
            _ => {}
        }
        progress.line("       done");
        Ok(())
    }
}

#[async_trait]
impl PushBackend for Platform {
    async fn user_for_key(&self, fingerprint: &str) -> Result<Option<Username>, String> {
        Ok(self.state.lock().unwrap().keys.get(fingerprint).cloned())
    }

    async fn repository(&self, user: &Username, app: &str) -> Result<Option<(AppName, PathBuf)>, String> {
        let state = self.state.lock().unwrap();
        let found = state.apps.get(app).filter(|found| found.owner == user.as_str());
        Ok(found.map(|found| (app.parse().unwrap(), self.repositories.path(found.id))))
    }

    async fn git_quota(&self, _: &Username) -> Result<Quota, String> {
        Ok(Quota::AtMost(16))
    }

    async fn receive(
        &self,
        push: Push,
        progress: Progress,
        cancel: CancellationToken,
    ) -> Result<Box<dyn PushLease>, Rejected> {
        let lock = self.state.lock().unwrap().apps[push.app.as_str()].lock.clone();
        let lock = lock.lock_owned().await;
        let deploy = self.begin(&push);
        let result = self.deploy(&push.source, deploy, &progress, &cancel).await;
        self.update(deploy, |deploy| deploy.has_returned = true);
        result.map(|()| Box::new(Lease { state: self.state.clone(), deploy, _lock: lock }) as Box<dyn PushLease>)
    }
}

#[async_trait]
impl PushLease for Lease {
    async fn finish(self: Box<Self>, ref_moved: bool) {
        self.state.lock().unwrap().deploys[self.deploy].moved = Some(ref_moved);
    }
}
