//! Releases: look at them, go back to one.

use super::operations::Progress;
use super::{AppHandle, Error, Listing, Platform};
use crate::build::BuildError;
use crate::model::{Build, OperationKind, Release};
use crate::release::{self, Change, Parts};
use crate::store::{Page, instances, releases};

impl Platform {
    /// Releases that were deployed, newest first.
    pub async fn releases(&self, handle: &AppHandle, page: Page) -> Result<Listing<Release>, Error> {
        let (pool, app) = (self.0.store.pool(), handle.app().id);
        let entries = releases::list(pool, app, page).await?;
        Ok(Listing::of(page, entries, releases::count(pool, app)).await?)
    }

    /// One release by its number.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn release(&self, handle: &AppHandle, version: i64) -> Result<Release, Error> {
        let found = releases::by_version(self.0.store.pool(), handle.app().id, version).await?;
        found.ok_or_else(|| Error::NotFound(format!("release v{version}")))
    }

    /// Makes a new release of the build and config of an earlier one (the one before the latest when `version` is `None`)
    /// and rolls it out. Nothing is built.
    ///
    /// # Errors
    /// [`Error::Refused`] where going back makes no sense, and to a release whose image was cleaned up; [`Error::NotFound`]
    /// for a release that never was.
    pub async fn rollback(&self, handle: &AppHandle, version: Option<i64>) -> Result<Release, Error> {
        let (platform, handle) = (self.clone(), handle.clone());
        self.owned(async move {
            platform
                .change_release(OperationKind::Rollback, &handle, &Progress::none(), async |current, by| {
                    let version = version.unwrap_or(current.release.version - 1);
                    if version < 1 {
                        return Err(Error::Refused("version cannot be below 0".to_owned()));
                    }
                    let old = platform.release(&handle, version).await?;
                    let old = release::contents(&platform.0.store, old).await?;
                    match &old.build {
                        Some(build) => platform.bring_back(build, version).await?,
                        None => platform.refuse_without_build(&handle, version).await?,
                    }
                    let parts = Parts { build: old.release.build_id, config: old.release.config_id };
                    Ok((parts, Change::Rollback { by: &by.username, version }.summary()))
                })
                .await
        })
        .await
        .map(|contents| contents.release)
    }

    /// Makes sure that the engine has the image of an earlier release; a slug is laid again as long as there is one.
    async fn bring_back(&self, build: &Build, version: i64) -> Result<(), Error> {
        match self.0.builder.ensure_image(build).await {
            Err(BuildError::ImageLost { .. }) => {
                let again = match &build.commit {
                    Some(commit) => format!("push commit {} again", commit.get(..12).unwrap_or(commit)),
                    None => format!("deploy image {} again", build.image),
                };
                Err(Error::Refused(format!(
                    "v{version} cannot come back: its image is gone. Clean-up keeps what the last {} releases need. To have \
                     it back, {again}.",
                    self.0.settings.keep_releases
                )))
            }
            ensured => Ok(ensured?),
        }
    }

    /// A release without a build cannot be rolled out in place of running instances.
    async fn refuse_without_build(&self, handle: &AppHandle, version: i64) -> Result<(), Error> {
        let running = instances::of_app(self.0.store.pool(), handle.app().id).await?;
        if running.iter().any(|instance| instance.state.is_wanted()) {
            return Err(Error::Refused(format!(
                "v{version} has no build and the app is running; roll back to a release with a build, or scale to zero first"
            )));
        }
        Ok(())
    }
}
