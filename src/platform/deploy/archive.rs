//! An uploaded archive is deployed like a push, without a repository that would remember it.

use std::io::Read;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::super::operations::Progress;
use super::super::{AppHandle, Error, Platform};
use super::{SourceRequest, target};
use crate::git::{ArchiveOptions, GitError, Source};
use crate::model::{Build, OperationKind, Release, SourceKind};

/// How an uploaded archive is deployed.
#[derive(Debug, Clone, Copy, Default)]
pub struct ArchiveRequest {
    /// Takes the only folder at the top for the root, as in the archives that code hosts make.
    pub strip_top_folder: bool,
    /// As `-o no-cache` of a push.
    pub no_cache: bool,
    /// As `-o redeploy` of a push.
    pub redeploy: bool,
}

impl Platform {
    /// Builds an uploaded `tar.gz` or tar, cuts a release and rolls it out. Yields the build and its release, which serves.
    ///
    /// The archive is read to its end before the app's lock is taken, so that a slow upload holds nobody up. `archive`
    /// blocks a thread as long as it blocks; to call the upload off, let it fail. `cancel` stops the rest until the release
    /// is cut; from then on it finishes whatever happens to the caller. Dropping this future stops nothing.
    ///
    /// # Errors
    /// [`Error::Refused`] for an archive that cannot be taken: the text names the entry and what to do. Whatever the error,
    /// the old release serves as before.
    pub async fn deploy_archive(
        &self,
        handle: &AppHandle,
        archive: impl Read + Send + 'static,
        request: ArchiveRequest,
        out: Progress,
        cancel: CancellationToken,
    ) -> Result<(Build, Release), Error> {
        let (platform, handle, cancel) = (self.clone(), handle.clone(), cancel.child_token());
        self.owned(async move {
            let (granted, user) = (platform.clone(), handle.clone());
            let work = async {
                let source = platform.import(&handle, archive, request.strip_top_folder).await?;
                let ArchiveRequest { no_cache, redeploy, .. } = request;
                let deploy = SourceRequest { handle, source: Arc::new(source), no_cache, redeploy };
                let handle = &deploy.handle;
                let mut live = platform.begin(OperationKind::Deploy, handle, &out, &cancel).await?;
                let outcome = platform.deploy(&mut live, &deploy, SourceKind::Archive, &out, &cancel).await;
                let outcome = platform.undone_on_error(&mut live, handle.app(), outcome).await;
                let released = live.end(outcome).await?;
                platform.0.cleanup_due.tell();
                Ok((target(handle.app(), &released)?.build, released.release))
            };
            granted.while_granted(&user, &cancel, work).await
        })
        .await
    }

    async fn import(
        &self,
        handle: &AppHandle,
        archive: impl Read + Send + 'static,
        strip_top_folder: bool,
    ) -> Result<Source, Error> {
        let (repositories, app) = (self.0.repositories.clone(), handle.app().id);
        let options = ArchiveOptions { strip_top_folder, ..ArchiveOptions::default() };
        let imported = tokio::task::spawn_blocking(move || repositories.import_archive(app, archive, &options)).await;
        imported.map_err(|error| Error::Internal(error.into()))?.map_err(|error| match error {
            // The uploader's fault, unlike a pushed tree that does not build: nothing was begun.
            GitError::Refused(text) => Error::Refused(text),
            error => error.into(),
        })
    }
}
