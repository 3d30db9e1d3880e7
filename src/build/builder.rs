//! The builder: what every build shares, whichever way it goes.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::ca::CaBundle;
use super::plan::{Recipe, SMALL_FILE_BYTES};
use super::queue::{BuildPlaces, Place, Queue};
use super::running::Running;
use super::runtimes::{Errand, Runtimes};
use super::{BuildError, BuildLogs, FingerprintKey, Plan, SlugStore, Stack};
use crate::engine::{
    BUILD_NETWORK, Engine, EngineError, ImageFetcher, Labels, LineSink, Purpose, Resources, label, labels,
};
use crate::git::Source;
use crate::model::{
    App, AppId, BuildId, BuildKind, ConfigVars, Frontend, OperationId, Procfile, Runtime, RuntimeMirrors, UserId,
};
use crate::outbound::Outbound;

/// Names of containers that builds use begin so.
const CONTAINER_PREFIX: &str = "slipway-build-";

/// What bounds builds and what they draw on.
#[derive(Debug, Clone)]
pub struct BuildSettings {
    /// Memory in bytes, swap included: of each slug build, and of all Dockerfile builds together where the engine's
    /// builder is shared between them.
    pub memory_bytes: i64,
    /// Relative CPU weight; running apps have 1024.
    pub cpu_shares: i64,
    /// Processes and threads.
    pub pids: i64,
    /// How long a build may take.
    pub time_limit: Duration,
    /// Largest slug in bytes, compressed.
    pub slug_bytes: u64,
    /// Largest image that a Dockerfile may build, in bytes, with the layers of its base.
    pub image_bytes: u64,
    /// Free disk space below which no build begins, in bytes; 0 asks for none.
    pub min_free_bytes: u64,
    /// How many builds go on at once; the others wait for their turn.
    pub at_once: NonZeroUsize,
    /// Where submodules and buildpacks may be fetched from.
    pub outbound: Outbound,
    /// Certificates that builds trust beside the usual ones.
    pub ca_bundle: Option<PathBuf>,
    /// Where slugs are kept.
    pub slugs: SlugStore,
    /// Where the logs of builds are kept.
    pub logs: BuildLogs,
    /// What slugs are built and run on.
    pub stack: Stack,
    /// Keys the digests that config values go into, and the names of caches.
    pub fingerprint_key: FingerprintKey,
    /// Programs beside the engine's own that may read Dockerfiles.
    pub frontends: Vec<Frontend>,
    /// Where runtimes are fetched from instead of where their publishers have them.
    pub runtime_mirrors: RuntimeMirrors,
}

/// One build that is asked for.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// Whose build.
    pub app: App,
    /// Names the build, and its image.
    pub build_id: BuildId,
    /// The operation that it is part of; its containers carry this as a label.
    pub operation: OperationId,
    /// What is built, whole.
    pub source: Arc<Source>,
    /// The app's config: a slug build sees all of it, a Dockerfile what it declares with `ARG`.
    pub config: ConfigVars,
    /// Starts from nothing, and begins the app's cache anew.
    pub no_cache: bool,
    /// How many builds the app's owner may have.
    pub places: BuildPlaces,
    /// What [`Builder::choose_runtimes`] found for it.
    pub runtimes: Vec<Runtime>,
}

impl BuildRequest {
    /// What is fetched for it belongs to this.
    pub(super) fn errand(&self) -> Errand<'_> {
        Errand { app: self.app.id, build: self.build_id, operation: &self.operation }
    }
}

/// What came of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Which way it went.
    pub kind: BuildKind,
    /// The engine's reference to start instances from.
    pub engine_image: String,
    /// Digest of the slug of a [`BuildKind::Slug`].
    pub slug: Option<String>,
    /// Process types and commands; empty when the image's own command is all there is.
    pub procfile: Procfile,
    /// The port that its instances are expected on unless the config names another: the lowest that the image declares.
    pub port: Option<u16>,
}

/// Builds images. One for the whole server; builds of different apps may go on at the same time.
pub struct Builder {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) images: Arc<ImageFetcher>,
    pub(super) settings: BuildSettings,
    pub(super) server_id: String,
    pub(super) tasks: TaskTracker,
    pub(super) runtimes: Runtimes,
    queue: Queue,
    /// Where the engine keeps its things, once it was asked.
    pub(super) engine_root: tokio::sync::OnceCell<PathBuf>,
    pub(super) running: Running,
    held: Arc<tokio::sync::Mutex<HashMap<String, usize>>>,
}

impl Builder {
    /// A builder whose objects in the engine carry `server_id`. Clean-up that outlives a cancelled build runs on
    /// `tasks`: wait for it before the runtime ends.
    pub fn new(images: Arc<ImageFetcher>, settings: BuildSettings, server_id: String, tasks: TaskTracker) -> Self {
        let queue = Queue::new(settings.at_once);
        Self {
            engine: Arc::clone(images.engine()),
            images,
            settings,
            server_id,
            tasks,
            queue,
            engine_root: tokio::sync::OnceCell::new(),
            running: Running::default(),
            runtimes: Runtimes::default(),
            held: Arc::default(),
        }
    }

    /// Where slugs are kept.
    pub fn slugs(&self) -> &SlugStore {
        &self.settings.slugs
    }

    /// Where the logs of builds are kept.
    pub fn logs(&self) -> &BuildLogs {
        &self.settings.logs
    }

    /// How many builds are at work, and how many wait for their turn.
    pub fn queue_lengths(&self) -> (usize, usize) {
        self.queue.lengths()
    }

    /// How many builds of an account's apps are at work, and how many wait for their turn.
    pub fn queue_of(&self, owner: UserId) -> (u64, u64) {
        self.queue.lengths_of(owner)
    }

    /// Builds an image by `plan`, when its turn has come; output goes to `on_line` as it arrives, each phase with its duration.
    ///
    /// Cancelled by dropping the future: its containers are removed then, by tasks of their own.
    ///
    /// # Errors
    /// [`BuildError::is_fault_of_source`] tells whose fault it is; what the build itself said went to `on_line` before.
    /// Nothing is left behind but the build cache, and a slug that no image was made of.
    pub async fn build(&self, request: &BuildRequest, plan: &Plan, on_line: LineSink<'_>) -> Result<Built, BuildError> {
        let _turn = self.turn(request, on_line).await?;
        self.check_space().await?;
        let mark = self.mark(&request.app);
        let (_place, ended) = self.running.enter(request.operation.clone(), request.app.id, mark);
        let limit = self.settings.time_limit;
        let built = async {
            let request = &self.prepare(request, plan, on_line).await?;
            match &plan.recipe {
                Recipe::Dockerfile(dockerfile) => {
                    self.build_dockerfile(request, dockerfile, plan.procfile.as_ref(), on_line).await
                }
                Recipe::Slug(buildpacks, foreign) => {
                    self.build_slug(request, buildpacks, foreign, plan.procfile.as_ref(), on_line).await
                }
            }
        };
        tokio::select! {
            biased;
            Ok(why) = ended => Err(why),
            built = tokio::time::timeout(limit, built) => built.unwrap_or(Err(BuildError::TimedOut { limit })),
        }
    }

    /// Waits until it is the turn of a build's owner, which it is until the place is dropped.
    pub(super) async fn turn(&self, request: &BuildRequest, on_line: LineSink<'_>) -> Result<Place, BuildError> {
        let turn = self.queue.turn(request.app.owner_id, request.app.owner.as_str(), request.places, on_line).await;
        turn.map_err(BuildError::Quota)
    }

    /// Removes containers that builds have left behind, and their networks: those of one operation, or all of this server.
    /// Returns how many containers.
    ///
    /// With `None` it takes running builds for leftovers, too: for use before the first build starts.
    ///
    /// # Errors
    /// When the engine refuses; containers removed so far stay removed.
    pub async fn remove_leftovers(&self, operation: Option<&OperationId>) -> Result<usize, EngineError> {
        let operation = operation.map_or("", OperationId::as_str);
        let wanted = labels([(label::SERVER, &self.server_id), (label::OPERATION, operation)]);
        let mut count = 0;
        for container in self.engine.containers(&wanted).await? {
            if matches!(container.purpose(), Some(Purpose::Operation(_)))
                && container.name.starts_with(CONTAINER_PREFIX)
            {
                self.engine.remove_container(&container.id).await?;
                count += 1;
            }
        }
        for network in self.engine.networks(&wanted).await? {
            if network.starts_with(BUILD_NETWORK) {
                self.engine.remove_network(&network).await?;
            }
        }
        Ok(count)
    }

    /// Forgets what builds of an app have cached; for an app that is destroyed.
    ///
    /// # Errors
    /// When the engine refuses.
    #[cfg(test)]
    pub async fn remove_cache(&self, app: &App) -> Result<(), EngineError> {
        self.engine.remove_volume(&cache_volume(app)).await
    }

    /// What clean-up after a build needs.
    pub(super) fn handle(&self) -> Handle {
        Handle { engine: Arc::clone(&self.engine), tasks: self.tasks.clone(), held: Arc::clone(&self.held) }
    }

    pub(super) fn resources(&self) -> Resources {
        Resources {
            memory_bytes: Some(self.settings.memory_bytes),
            cpu_shares: Some(self.settings.cpu_shares),
            pids: Some(self.settings.pids),
        }
    }

    pub(super) async fn ca_bundle(&self) -> Result<Option<CaBundle>, BuildError> {
        match &self.settings.ca_bundle {
            Some(path) => CaBundle::read(path).await.map(Some),
            None => Ok(None),
        }
    }

    /// Labels of a container that an operation needs.
    pub(super) fn container_labels(&self, app: AppId, operation: &OperationId) -> Labels {
        let app = app.to_string();
        labels([(label::SERVER, &self.server_id), (label::APP, &app), (label::OPERATION, operation.as_str())])
    }

    /// Reads a small file of the source, off the runtime's own threads.
    pub(super) async fn source_file(&self, source: &Arc<Source>, path: &str) -> Result<Option<Vec<u8>>, BuildError> {
        let (source, path) = (Arc::clone(source), path.to_owned());
        self.blocking("reading the repository", move || Ok(source.file(&path, SMALL_FILE_BYTES)?)).await
    }

    /// Runs work that blocks on a thread of its own, which shutdown waits for.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce() -> Result<T, BuildError> + Send + 'static,
    ) -> Result<T, BuildError> {
        let done = self.tasks.spawn_blocking(work).await;
        done.unwrap_or_else(|error| Err(BuildError::io(action)(std::io::Error::other(error))))
    }
}

/// The engine, and who owns the tasks that outlive a build.
#[derive(Clone)]
pub(super) struct Handle {
    pub engine: Arc<dyn Engine>,
    pub tasks: TaskTracker,
    /// How many builds hold a name. Locked while the engine is told, so that no name goes that was asked for again.
    held: Arc<tokio::sync::Mutex<HashMap<String, usize>>>,
}

impl Handle {
    /// Gives an image a name, which stays until everybody who asked for it has given it back.
    pub async fn hold(&self, image: &str, name: &str) -> Result<(), EngineError> {
        let mut held = self.held.lock().await;
        self.engine.tag_image(image, name).await?;
        *held.entry(name.to_owned()).or_default() += 1;
        Ok(())
    }

    /// Gives back a name.
    pub async fn release(&self, name: &str) {
        let mut held = self.held.lock().await;
        let Some(count) = held.get_mut(name) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        held.remove(name);
        if let Err(error) = self.engine.remove_image(name).await {
            tracing::warn!(name, %error, "the name of an image that was built on stays");
        }
    }
}

/// A fresh name for a container that a build needs for `purpose`.
pub(super) fn container_name(build: BuildId, purpose: &str) -> String {
    let attempt = OperationId::new();
    format!("{CONTAINER_PREFIX}{}-{purpose}-{}", short(build), &attempt.as_str()[..6])
}

/// The network of the one builder that an operation runs.
pub(super) fn network_name(operation: &OperationId) -> String {
    format!("{BUILD_NETWORK}{operation}")
}

/// The first twelve digits of the id, for names that people see.
pub(super) fn short(build: BuildId) -> String {
    build.to_string().replace('-', "").chars().take(12).collect()
}

/// The volume that an app's builds share for as long as nobody who could write to it has lost access to the app.
pub fn cache_volume(app: &App) -> String {
    match app.epoch {
        0 => format!("slipway-cache-{}", app.id),
        epoch => format!("slipway-cache-{}-{epoch}", app.id),
    }
}
