//! Images from elsewhere, fetched for one app.
//!
//! The engine's store of images is one for all tenants, and finds an image by its name whoever pulled it. So what is fetched
//! for an app gets a name of the platform's own, and the name under which the registry has it is taken away again: the next
//! one who wants it has to ask the registry, with a login of their own.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Engine, EngineError, Image, LineSink, PullFailure, RegistryLogin, label};
use crate::model::{AppId, BaseImages, ConfigVars, ImageReference, REGISTRY_PASSWORD, REGISTRY_USERNAME};
use crate::outbound::Outbound;

/// Where the stack's images are unless the operator says otherwise. Everybody may build on them.
pub const DEFAULT_STACK: &str = "slipway/stack";

/// Fetches images for apps. One for the whole server.
pub struct ImageFetcher {
    engine: Arc<dyn Engine>,
    /// Repository of the stack's images.
    stack: String,
    bases: BaseImages,
    /// Which registries may be asked.
    outbound: Outbound,
    /// Where names are written down for as long as a registry's name may be in the engine.
    journal: PathBuf,
    /// Held while something about a repository's names is looked at or changed.
    repositories: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// The folder of one for tests, which goes with it.
    #[cfg(test)]
    _dir: Option<tempfile::TempDir>,
}

/// A name that is to be taken away again, or to be given back to what had it before.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    reference: String,
    before: Option<String>,
}

impl ImageFetcher {
    /// A fetcher that keeps its notes in the folder `journal`, which is made when it is first needed. `stack` is the repository of
    /// the images that slugs are built and run on.
    pub fn new(
        engine: Arc<dyn Engine>,
        stack: String,
        bases: BaseImages,
        outbound: Outbound,
        journal: PathBuf,
    ) -> Self {
        Self {
            engine,
            stack,
            bases,
            outbound,
            journal,
            repositories: Mutex::default(),
            #[cfg(test)]
            _dir: None,
        }
    }

    /// One for tests, which keeps its notes in a folder of its own.
    #[cfg(test)]
    pub fn for_tests(engine: Arc<dyn Engine>) -> Arc<Self> {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let (stack, journal) = (DEFAULT_STACK.to_owned(), dir.path().join("pulls"));
        let fetcher = Self::new(engine, stack, BaseImages::Local, Outbound::default(), journal);
        Arc::new(Self { _dir: Some(dir), ..fetcher })
    }

    /// The engine that they come to.
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// Whether a name is the platform's to give, so that no app gets an image by it.
    pub fn is_platforms(&self, reference: &ImageReference) -> bool {
        reference.is_platforms(&self.stack)
    }

    /// Fetches the image of that reference for an app, and names it `name`. It is pulled; where no registry answers at all, an
    /// image of that very name that the operator put on this machine will do.
    ///
    /// Cancel-safe: a name that was left behind is taken away by the next fetch of its repository, and by [`ImageFetcher::recover`].
    ///
    /// # Errors
    /// [`EngineError::PullFailed`], or [`EngineError::NotFound`] for an image that is another app's or the platform's own.
    pub async fn fetch(
        &self,
        app: AppId,
        reference: &ImageReference,
        login: Option<&RegistryLogin>,
        name: &str,
        on_line: LineSink<'_>,
    ) -> Result<Image, EngineError> {
        let _turn = self.turn(reference).await?;
        let local = self.local(app, reference).await?;
        let pulled = match self.pull(reference, local.as_ref(), login, name, on_line).await {
            Err(EngineError::PullFailed { failure: PullFailure::Unreachable, reference }) => {
                let unreachable = EngineError::PullFailed { failure: PullFailure::Unreachable, reference };
                let local = local.ok_or(unreachable)?;
                self.engine.tag_image(&local.id, name).await?;
                local
            }
            pulled => pulled?,
        };
        pulled.of_app_or_nobody(app).ok_or_else(|| missing(reference))
    }

    /// An image for a Dockerfile to build on, or to copy from, named `name`: one that the operator allows and that is on this machine, one of
    /// the stack's, or else one from its registry.
    ///
    /// # Errors
    /// As [`ImageFetcher::fetch`].
    pub async fn base(
        &self,
        app: AppId,
        reference: &ImageReference,
        login: Option<&RegistryLogin>,
        name: &str,
        on_line: LineSink<'_>,
    ) -> Result<Image, EngineError> {
        if self.is_platforms(reference) {
            let is_stack = [self.stack.as_str(), DEFAULT_STACK].contains(&reference.repository().as_str());
            let image =
                if is_stack { self.engine.image(&reference.to_string()).await } else { Err(missing(reference)) }?;
            self.engine.tag_image(&image.id, name).await?;
            return Ok(image);
        }
        let turn = self.turn(reference).await?;
        if let Some(local) = self.local(app, reference).await?.filter(|_| self.bases.allow(reference)) {
            self.engine.tag_image(&local.id, name).await?;
            return Ok(local);
        }
        drop(turn);
        let image = self.fetch(app, reference, login, name, on_line).await?;
        Ok(image)
    }

    /// Takes away the names that an earlier life of the server left behind.
    ///
    /// # Errors
    /// When the engine or the folder does not let it.
    pub async fn recover(&self) -> Result<(), EngineError> {
        for path in self.entries().map_err(|source| io_error("reading the notes on pulled images", source))? {
            self.undo(&path).await?;
        }
        Ok(())
    }

    /// Waits until nobody else works with the names of that repository, and clears what a cancelled fetch left of them.
    async fn turn(&self, reference: &ImageReference) -> Result<tokio::sync::OwnedMutexGuard<()>, EngineError> {
        let repository = reference.repository();
        let lock = {
            let mut known = self.repositories.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(known.entry(repository.clone()).or_default())
        };
        let turn = lock.lock_owned().await;
        let left = self.entry_of(&repository);
        if left.exists() {
            self.undo(&left).await?;
        }
        Ok(turn)
    }

    /// The image that has this very name on this machine: the operator's, or made by a push of the app itself.
    async fn local(&self, app: AppId, reference: &ImageReference) -> Result<Option<Image>, EngineError> {
        if self.is_platforms(reference) {
            return Err(missing(reference));
        }
        let name = reference.to_string();
        Ok(self.named(&name).await?.and_then(|image| image.of_app_or_nobody(app)))
    }

    /// The image that has this very name.
    async fn named(&self, name: &str) -> Result<Option<Image>, EngineError> {
        Ok(self.find(name).await?.filter(|image| image.is_named(name)))
    }

    /// The image that the engine finds by a name or an id. An engine that does not answer says nothing of what it has.
    async fn find(&self, name: &str) -> Result<Option<Image>, EngineError> {
        match self.engine.image(name).await {
            Ok(image) => Ok(Some(image)),
            Err(EngineError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn pull(
        &self,
        reference: &ImageReference,
        local: Option<&Image>,
        login: Option<&RegistryLogin>,
        name: &str,
        on_line: LineSink<'_>,
    ) -> Result<Image, EngineError> {
        let text = reference.to_string();
        if let Err(why) = self.outbound.check_registry(reference.host()).await {
            tracing::debug!(%why, image = text, "a registry is not asked");
            return Err(EngineError::PullFailed { failure: PullFailure::Unreachable, reference: text });
        }
        // Whatever has the name now gets it back, also what this app may not use.
        let before = match local {
            Some(image) => Some(image.id.clone()),
            None => self.named(&text).await?.map(|image| image.id),
        };
        let path = self.entry_of(&reference.repository());
        let entry = Entry { reference: text.clone(), before };
        self.note(&path, &entry).map_err(|source| io_error("noting which image is pulled", source))?;
        let pulled = match self.engine.pull_image(&text, login, on_line).await {
            Ok(image) => self.engine.tag_image(&image.id, name).await.map(|()| image),
            Err(error) => Err(error),
        };
        self.undo(&path).await?;
        pulled
    }

    /// Gives a name back to what had it before the pull, or takes it away.
    async fn undo(&self, path: &PathBuf) -> Result<(), EngineError> {
        let reading = |source| io_error("reading the notes on pulled images", source);
        let text = fs::read(path).map_err(reading)?;
        if let Ok(entry) = serde_json::from_slice::<Entry>(&text) {
            self.put_right(&entry).await?;
        }
        fs::remove_file(path).map_err(reading)
    }

    async fn put_right(&self, entry: &Entry) -> Result<(), EngineError> {
        let Some(now) = self.find(&entry.reference).await? else { return Ok(()) };
        match &entry.before {
            Some(before) if *before == now.id => return Ok(()),
            Some(before) if !entry.reference.contains('@') => self.engine.tag_image(before, &entry.reference).await?,
            _ => super::unless_in_use(self.engine.remove_image(&entry.reference).await)?,
        }
        let repository = entry.reference.parse::<ImageReference>().map(|it| it.repository()).unwrap_or_default();
        self.forget_digests(&now.id, &repository).await
    }

    /// The engine knows a pulled image by its digest in the repository, too. That stays as long as a tag of the repository does.
    async fn forget_digests(&self, id: &str, repository: &str) -> Result<(), EngineError> {
        let Some(image) = self.find(id).await? else { return Ok(()) };
        let (tag, digest) = (format!("{repository}:"), format!("{repository}@"));
        if image.tags.iter().any(|name| name.strip_prefix(&tag).is_some_and(|tag| !tag.contains('/'))) {
            return Ok(());
        }
        for name in image.digests.iter().filter(|name| name.starts_with(&digest)) {
            super::unless_in_use(self.engine.remove_image(name).await)?;
        }
        Ok(())
    }

    fn entries(&self) -> io::Result<Vec<PathBuf>> {
        match fs::read_dir(&self.journal) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            entries => entries?.map(|entry| Ok(entry?.path())).collect(),
        }
    }

    fn entry_of(&self, repository: &str) -> PathBuf {
        self.journal.join(hex::encode(&Sha256::digest(repository)[..16]))
    }

    fn note(&self, path: &PathBuf, entry: &Entry) -> io::Result<()> {
        fs::create_dir_all(&self.journal)?;
        let mut file = fs::File::create(path)?;
        file.write_all(&serde_json::to_vec(entry)?)?;
        file.sync_all()
    }
}

fn io_error(action: &str, source: io::Error) -> EngineError {
    EngineError::Io { action: action.to_owned(), source }
}

fn missing(reference: &ImageReference) -> EngineError {
    EngineError::NotFound { what: format!("image {reference}") }
}

/// The app's login at the registry of its images, from its config vars; those reach no container.
///
/// # Errors
/// A sentence, when one of the two is set without the other.
pub fn registry_login(config: &ConfigVars) -> Result<Option<RegistryLogin>, String> {
    let value = |name: &str| config.get(name).map(ToString::to_string);
    match (value(REGISTRY_USERNAME), value(REGISTRY_PASSWORD)) {
        (Some(username), Some(password)) => Ok(Some(RegistryLogin { username, password })),
        (None, None) => Ok(None),
        (Some(_), None) | (None, Some(_)) => Err(format!(
            "one of {REGISTRY_USERNAME} and {REGISTRY_PASSWORD} is set without the other: set both or neither"
        )),
    }
}

impl Image {
    /// Whether the image has that very name. An engine also finds one by the beginning of its id, which may be anybody's.
    fn is_named(&self, reference: &str) -> bool {
        let untagged = !reference.rsplit('/').next().unwrap_or(reference).contains([':', '@']);
        let latest = untagged.then(|| format!("{reference}:latest"));
        let has = |names: &[String]| names.iter().any(|name| name == reference || Some(name) == latest.as_ref());
        if reference.contains('@') { has(&self.digests) } else { has(&self.tags) }
    }

    /// The image, unless another app's pushes built it: then it is that app's, even for somebody who guesses its name.
    pub fn of_app_or_nobody(self, app: AppId) -> Option<Self> {
        let is_foreign = self.labels.get(label::APP).is_some_and(|owner| *owner != app.to_string());
        (!is_foreign).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_was_found_by_its_id_is_not_named_so() {
        let image = Image {
            id: "sha256:cafe01".to_owned(),
            tags: vec!["hello:latest".to_owned(), "registry.test:5000/a:1".to_owned()],
            digests: vec!["hello@sha256:00".to_owned()],
            size_bytes: 1,
            ..Image::default()
        };
        for (reference, expect) in [
            ("hello", true),
            ("hello:latest", true),
            ("registry.test:5000/a:1", true),
            ("registry.test:5000/a", false),
            ("hello@sha256:00", true),
            ("other@sha256:00", false),
            ("cafe01", false),
            ("cafe", false),
            ("sha256:cafe01", false),
        ] {
            assert_eq!(image.is_named(reference), expect, "{reference}");
        }
    }
}
