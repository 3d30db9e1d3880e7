//! Builds: look at them, make one from an image that was built elsewhere.

use tokio_util::sync::CancellationToken;

use super::deploy::processes::tell_port;
use super::operations::{Live, Progress};
use super::{AppHandle, Error, Listing, Platform};
use crate::build::AppJson;
use crate::engine::{EngineError, Image, PullFailure, registry_login};
use crate::model::{
    Build, BuildHealth, BuildId, BuildKind, BuildStatus, ImageReference, InvalidImageReference, OperationKind,
    Procfile, Release, SourceKind, Step,
};
use crate::release::{Change, Parts};
use crate::store::Page;
use crate::store::builds::{self, BuildResult, NewBuild};

/// Longest image reference (Deis, spec §6).
const IMAGE_MAX: usize = 256;
/// Longest commit id: SHA-1 in hex.
const SHA_MAX: usize = 40;

/// An image that was built elsewhere, with what its builder says of it.
#[derive(Debug, Clone, Default)]
pub struct BuiltImage {
    /// Its reference, at most 256 characters.
    pub image: String,
    /// Id of the commit that it was built from, at most 40 letters and digits; empty when there is none. A builder that
    /// gives one may have tagged the image `git-<sha>`.
    pub sha: String,
    /// Process types and commands, beside the image's own command.
    pub procfile: Procfile,
    /// The Dockerfile that it was built by, or `true`; empty when there was none.
    pub dockerfile: String,
}

impl Platform {
    /// An app's builds, newest first.
    pub async fn builds(&self, handle: &AppHandle, page: Page) -> Result<Listing<Build>, Error> {
        let (pool, app) = (self.0.store.pool(), handle.app().id);
        let entries = builds::list(pool, app, page).await?;
        Ok(Listing::of(page, entries, builds::count(pool, app)).await?)
    }

    /// One build of an app.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn build_of(&self, handle: &AppHandle, id: BuildId) -> Result<Build, Error> {
        let found = builds::get(self.0.store.pool(), id).await?.filter(|build| build.app_id == handle.app().id);
        found.ok_or_else(|| Error::NotFound(format!("build {id}")))
    }

    /// Deploys an image that was built elsewhere. It is pulled, with the login that the app's config holds; where no registry answers, an image that the engine
    /// already has will do.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what cannot be a reference or a commit; [`Error::DeployFailed`] when the image cannot be had
    /// or its instances do not come up.
    pub async fn deploy_image(&self, handle: &AppHandle, built: BuiltImage) -> Result<(Build, Release), Error> {
        validate(&built)?;
        self.reference(&built.image)?;
        let (platform, handle) = (self.clone(), handle.clone());
        self.owned(async move {
            let cancel = CancellationToken::new();
            let mut live = platform.begin(OperationKind::Deploy, &handle, &Progress::none(), &cancel).await?;
            let outcome = platform.deploy_image_with(&mut live, &handle, built).await;
            let outcome = platform.undone_on_error(&mut live, handle.app(), outcome).await;
            live.end(outcome).await
        })
        .await
    }

    async fn deploy_image_with(
        &self,
        live: &mut Live,
        handle: &AppHandle,
        built: BuiltImage,
    ) -> Result<(Build, Release), Error> {
        let id = BuildId::new();
        let recorder = self.begin_record(handle, id, SourceKind::Image, &built.image).await?;
        let out = recorder.listen(&Progress::none());
        let outcome = self.deploy_image_as(live, handle, built, id, &out).await;
        self.end_record(&recorder, &outcome).await;
        outcome
    }

    async fn deploy_image_as(
        &self,
        live: &mut Live,
        handle: &AppHandle,
        built: BuiltImage,
        id: BuildId,
        out: &Progress,
    ) -> Result<(Build, Release), Error> {
        live.journal.step(Step::Build).await?;
        let store = &self.0.store;
        // A name of our own: the release must still find this very image after the given name moved on.
        let short = id.to_string().replace('-', "");
        let engine_image = format!("slipway/app-{}:{}", handle.app().name, &short[..12]);
        let new = NewBuild {
            app: handle.app().id,
            owner: handle.user().id,
            kind: BuildKind::Image,
            image: built.image.clone(),
            engine_image: engine_image.clone(),
            commit: (!built.sha.is_empty()).then(|| built.sha.clone()),
            dockerfile: built.dockerfile.clone(),
        };
        builds::insert(store.pool(), id, &new).await?;
        out.line(&format!("-----> Fetching {}", built.image));
        let image = self.fetch_built(handle, &built, &engine_image, out).await?;
        let config = self.config(handle).await?;
        let port = image.ports.first().copied();
        tell_port(BuildKind::Image, port, &image, &config.values, out);
        let health = BuildHealth { image: image.health.clone(), ..BuildHealth::default() };
        let result = BuildResult {
            engine_image,
            fingerprint: None,
            slug: None,
            procfile: built.procfile,
            port,
            health,
            cron: Vec::new(),
        };
        builds::succeed(store.pool(), id, &result).await?;
        self.record_image(id, image, None).await?;
        let build = self.build_of(handle, id).await?;
        let summary = Change::Build { by: &handle.user().username, source: build.short_source() }.summary();
        let parts = Parts { build: Some(id), config: config.id };
        let released = self.release_and_roll_out(live, handle, parts, summary, &AppJson::default(), out).await?;
        Ok((build, released.release))
    }

    /// The image by the tag that a Deis builder gives it, if there is one, else by its reference; named `name`.
    async fn fetch_built(
        &self,
        handle: &AppHandle,
        built: &BuiltImage,
        name: &str,
        out: &Progress,
    ) -> Result<Image, Error> {
        let reference = self.reference(&built.image)?;
        if !built.sha.is_empty() && reference.is_untagged() {
            let tagged = reference.with_tag(&format!("git-{}", built.sha));
            let tagged = tagged.map_err(|error| Error::invalid("sha", error.to_string()))?;
            if let Ok(image) = self.fetch_image(handle, &tagged, name, out).await {
                return Ok(image);
            }
        }
        self.fetch_image(handle, &reference, name, out).await
    }

    /// The image that this very app got by that reference before, named `name`; for when no registry answers.
    async fn pulled_before(
        &self,
        handle: &AppHandle,
        reference: &ImageReference,
        name: &str,
    ) -> Result<Option<Image>, Error> {
        let builds = builds::list(self.0.store.pool(), handle.app().id, Page::ALL).await?;
        let is_same = |build: &&Build| {
            build.kind == BuildKind::Image
                && build.status == BuildStatus::Succeeded
                && build.image.parse::<ImageReference>().as_ref() == Ok(reference)
        };
        let Some(build) = builds.iter().find(is_same) else { return Ok(None) };
        let Ok(image) = self.0.engine.image(&build.engine_image).await else { return Ok(None) };
        self.0.engine.tag_image(&image.id, name).await?;
        Ok(Some(image))
    }

    /// What a tenant calls an image.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no reference, and for names that are the platform's own.
    pub(super) fn reference(&self, image: &str) -> Result<ImageReference, Error> {
        let reference: ImageReference =
            image.parse().map_err(|error: InvalidImageReference| Error::invalid("image", error.to_string()))?;
        if self.0.images.is_platforms(&reference) {
            let text = format!("'{reference}' names an image of this platform's own: name one of yours");
            return Err(Error::invalid("image", text));
        }
        Ok(reference)
    }

    async fn fetch_image(
        &self,
        handle: &AppHandle,
        reference: &ImageReference,
        name: &str,
        out: &Progress,
    ) -> Result<Image, Error> {
        let login = registry_login(&self.config(handle).await?.values).map_err(Error::Refused)?;
        let on_line = |line: &str| out.line(&format!("       {line}"));
        match self.0.images.fetch(handle.app().id, reference, login.as_ref(), name, &on_line).await {
            Err(error @ EngineError::PullFailed { failure: PullFailure::Unreachable, .. }) => {
                Ok(self.pulled_before(handle, reference, name).await?.ok_or(error)?)
            }
            Err(EngineError::NotFound { .. }) => Err(missing(&reference.to_string())),
            fetched => Ok(fetched?),
        }
    }
}

fn missing(reference: &str) -> Error {
    Error::DeployFailed(vec![format!("image {reference} does not exist")])
}

fn validate(built: &BuiltImage) -> Result<(), Error> {
    let image = &built.image;
    if image.len() > IMAGE_MAX {
        return Err(Error::invalid("image", format!("Ensure this field has no more than {IMAGE_MAX} characters.")));
    }
    let sha = &built.sha;
    if sha.len() > SHA_MAX || !sha.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Error::invalid(
            "sha",
            format!("'{sha}' is not a commit id of at most {SHA_MAX} letters and digits."),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_and_commits_are_checked() {
        let check = |image: &str, sha: &str, is_valid: bool| {
            let built = BuiltImage { image: image.to_owned(), sha: sha.to_owned(), ..BuiltImage::default() };
            assert_eq!(validate(&built).is_ok(), is_valid, "{image} {sha}");
        };
        check("example/hello:1.0", "", true);
        check("registry.test:5000/a/b", "abc1234", true);
        check(&"a".repeat(257), "", false);
        check("a", "abc/../x", false);
        check("a", &"a".repeat(41), false);
    }
}
