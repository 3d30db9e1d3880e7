//! Builds: look at them, make one from an image that was built elsewhere.

use tokio_util::sync::CancellationToken;

use super::operations::{Live, Progress};
use super::{AppHandle, Error, Listing, Platform};
use crate::engine::{Image, label};
use crate::model::{Build, BuildId, BuildKind, OperationKind, Procfile, Release, Step};
use crate::release::{Change, Parts};
use crate::store::Page;
use crate::store::builds::{self, BuildResult, NewBuild};

/// Longest image reference (Deis, spec §6).
const IMAGE_MAX: usize = 256;

impl Platform {
    /// An app's builds, newest first.
    pub async fn builds(&self, handle: &AppHandle, page: Page) -> Result<Listing<Build>, Error> {
        let (pool, app) = (self.0.store.pool(), handle.app().id);
        Ok(Listing { total: builds::count(pool, app).await?, entries: builds::list(pool, app, page).await? })
    }

    /// Deploys an image that was built elsewhere, with an optional Procfile. It is pulled; where no registry answers, an
    /// image that the engine already has will do.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a reference that cannot be one; [`Error::DeployFailed`] when the image cannot be had or its
    /// instances do not come up.
    pub async fn deploy_image(
        &self,
        handle: &AppHandle,
        image: &str,
        procfile: Procfile,
    ) -> Result<(Build, Release), Error> {
        validate_reference(image)?;
        let (platform, handle, image) = (self.clone(), handle.clone(), image.to_owned());
        self.owned(async move {
            let cancel = CancellationToken::new();
            let mut live = platform.begin(OperationKind::Deploy, &handle, &Progress::none(), &cancel).await?;
            let outcome = platform.deploy_image_with(&mut live, &handle, &image, procfile).await;
            let outcome = platform.undone_on_error(handle.app(), outcome).await;
            live.end(outcome).await
        })
        .await
    }

    async fn deploy_image_with(
        &self,
        live: &mut Live,
        handle: &AppHandle,
        reference: &str,
        procfile: Procfile,
    ) -> Result<(Build, Release), Error> {
        live.journal.step(Step::Build).await?;
        let (store, id) = (&self.0.store, BuildId::new());
        let new = NewBuild {
            app: handle.app().id,
            owner: handle.user().id,
            kind: BuildKind::Image,
            image: reference.to_owned(),
            commit: None,
        };
        builds::insert(store.pool(), id, &new).await?;
        let image = self.fetch_image(handle, reference).await?;
        // A name of our own: the release must still find this very image after the given name moved on.
        let short: String = id.to_string().chars().take(12).collect();
        let engine_image = format!("slipway/app-{}:{short}", handle.app().name);
        self.0.engine.tag_image(&image.id, &engine_image).await?;
        let port = if let [port] = image.ports[..] { Some(port) } else { None };
        let result = BuildResult { engine_image, fingerprint: None, slug: None, procfile, port };
        builds::succeed(store.pool(), id, &result).await?;
        let build = builds::get(store.pool(), id).await?;
        let build = build.ok_or_else(|| Error::NotFound(format!("build {id}")))?;
        let summary = Change::Build { by: &handle.user().username, source: build.short_source() }.summary();
        let config = self.config(handle).await?.id;
        let parts = Parts { build: Some(id), config };
        let released = self.release_and_roll_out(live, handle, parts, summary, &Progress::none()).await?;
        Ok((build, released.release))
    }

    async fn fetch_image(&self, handle: &AppHandle, reference: &str) -> Result<Image, Error> {
        let image = match self.0.engine.pull_image(reference, &|_| {}).await {
            Ok(image) => image,
            Err(pull) => self.0.engine.image(reference).await.map_err(|_| Error::from(pull))?,
        };
        // What another app's pushes built is that app's, even for somebody who guesses its name.
        let is_foreign = image.labels.get(label::APP).is_some_and(|app| *app != handle.app().id.to_string());
        if is_foreign {
            return Err(Error::DeployFailed(vec![format!("image {reference} does not exist")]));
        }
        Ok(image)
    }
}

fn validate_reference(image: &str) -> Result<(), Error> {
    if image.len() > IMAGE_MAX {
        return Err(Error::invalid("image", format!("Ensure this field has no more than {IMAGE_MAX} characters.")));
    }
    let is_valid = image.starts_with(|c: char| c.is_ascii_alphanumeric())
        && image.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b));
    if is_valid { Ok(()) } else { Err(Error::invalid("image", format!("'{image}' is not an image reference."))) }
}
