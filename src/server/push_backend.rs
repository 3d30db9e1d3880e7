//! Ties the SSH door to the platform.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::model::{AppName, Quota, User, Username};
use crate::platform::{self, Deployed, Error, Event, Platform, PushRequest, SourceRequest};
use crate::push::{Progress, Push, PushBackend, PushLease, Rejected};

/// The platform as the SSH door sees it.
pub struct Backend(pub Platform);

/// What the pusher reads when the fault is ours; the log has the rest.
fn told(error: &Error) -> Vec<String> {
    if let Error::Internal(cause) = error {
        tracing::error!(error = ?cause, "a push failed for an internal reason");
    }
    error.lines()
}

/// Push options (`git push -o no-cache`).
const NO_CACHE: &str = "no-cache";
const REDEPLOY: &str = "redeploy";

/// A mistyped option would otherwise do nothing, and nobody would notice.
fn refuse_unknown(options: &[String]) -> Result<(), Error> {
    match options.iter().find(|option| ![NO_CACHE, REDEPLOY].contains(&option.as_str())) {
        None => Ok(()),
        Some(option) => Err(Error::Refused(format!(
            "there is no push option '{}': there are {NO_CACHE} and {REDEPLOY}; push again with one of these or without",
            option.escape_debug()
        ))),
    }
}

impl Backend {
    async fn known(&self, name: &Username) -> Result<User, Error> {
        self.0.user(name).await?.ok_or(Error::Forbidden)
    }

    async fn request(&self, push: Push) -> Result<PushRequest, Error> {
        let user = self.known(&push.user).await?;
        let handle = self.0.app(&user, push.app.as_str()).await?;
        let repository = self.0.repository(&handle).await?;
        refuse_unknown(&push.options)?;
        let has = |wanted: &str| push.options.iter().any(|option| option == wanted);
        let (no_cache, redeploy) = (has(NO_CACHE), has(REDEPLOY));
        let deploy = SourceRequest { handle, source: Arc::new(push.source), no_cache, redeploy };
        Ok(PushRequest { deploy, repository, reference: push.reference, old: push.old })
    }
}

#[async_trait]
impl PushBackend for Backend {
    async fn user_for_key(&self, fingerprint: &str) -> Result<Option<Username>, String> {
        let user = self.0.user_for_key(fingerprint).await.map_err(|error| told(&error).join(" "))?;
        Ok(user.map(|user| user.username))
    }

    async fn repository(&self, user: &Username, app: &str) -> Result<Option<(AppName, PathBuf)>, String> {
        let found = async {
            let user = self.known(user).await?;
            let handle = self.0.app(&user, app).await?;
            let path = self.0.repository(&handle).await?;
            Ok((handle.app().name.clone(), path))
        };
        match found.await {
            Ok(found) => Ok(Some(found)),
            Err(Error::NotFound(_) | Error::Forbidden) => Ok(None),
            Err(error) => Err(told(&error).join(" ")),
        }
    }

    async fn git_quota(&self, user: &Username) -> Result<Quota, String> {
        let quota = async { self.0.git_quota(&self.known(user).await?).await };
        quota.await.map_err(|error| told(&error).join(" "))
    }

    async fn receive(
        &self,
        push: Push,
        progress: Progress,
        cancel: CancellationToken,
    ) -> Result<Box<dyn PushLease>, Rejected> {
        let out = platform::Progress::new(move |event| match event {
            Event::Line(line) => progress.line(line),
            Event::Switched => progress.released(),
        });
        let deployed = async { self.0.push(self.request(push).await?, out, cancel).await };
        match deployed.await {
            Ok(deployed) => Ok(Box::new(Lease(deployed))),
            Err(error) => Err(Rejected { lines: told(&error) }),
        }
    }
}

/// Keeps the app locked until git has moved the ref.
struct Lease(Deployed);

#[async_trait]
impl PushLease for Lease {
    async fn finish(self: Box<Self>, ref_moved: bool) {
        if !ref_moved {
            tracing::warn!(release.version = self.0.release.version, "a release serves whose push git did not take");
        }
        self.0.finish().await;
    }
}
