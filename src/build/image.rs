//! Images of apps: their names and labels, and how one is made from a slug.

use std::io::{self, BufWriter, Read, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use flate2::read::GzDecoder;
use futures_util::stream;
use tokio::sync::mpsc;

use super::builder::{BuildRequest, container_name, short};
use super::restamp::Restamped;
use super::runtimes::Errand;
use super::tree::Tree;
use super::{BuildError, Builder};
use crate::engine::{ByteStream, ContainerSpec, EngineError, Image, Labels, label, labels};
use crate::model::{App, AppId, Build, BuildId, BuildKind, OperationId, Runtime};

/// How long a slug may take on its way into an image.
const LAY_LIMIT: Duration = Duration::from_secs(600);

const CHUNK_BYTES: usize = 256 << 10;
const CHUNKS_AHEAD: usize = 4;

/// An image of an app that is to be made.
pub(super) struct Target {
    pub reference: String,
    pub labels: Labels,
    app: AppId,
    build: BuildId,
    operation: OperationId,
    runtimes: Vec<Runtime>,
}

impl Target {
    fn errand(&self) -> Errand<'_> {
        Errand { app: self.app, build: self.build, operation: &self.operation }
    }
}

/// Repositories of images of apps begin so; no other name is Slipway's to take away.
pub const APP_IMAGE_PREFIX: &str = "slipway/app-";

fn reference(app: &App, build: BuildId) -> String {
    format!("{APP_IMAGE_PREFIX}{}:{}", app.name, short(build))
}

impl Builder {
    /// What the image of `request` is called, and how it is labelled.
    pub(super) fn target(&self, request: &BuildRequest) -> Target {
        let BuildRequest { app, build_id, .. } = request;
        Target {
            reference: reference(app, *build_id),
            labels: self.image_labels(app.id, app.name.as_str(), *build_id, request.source.commit()),
            app: app.id,
            build: *build_id,
            operation: request.operation.clone(),
            runtimes: request.runtimes.clone(),
        }
    }

    /// Makes sure that the engine has the image of an earlier build: where it lost one, the slug is laid again, in
    /// seconds, to an image that differs in its files' times only.
    ///
    /// # Errors
    /// [`BuildError::ImageLost`] when there is no slug to make it from.
    pub async fn ensure_image(&self, build: &Build) -> Result<(), BuildError> {
        if let Some(slug) = &build.slug {
            // Before anything else: clean-up goes by that.
            self.slugs().touch(slug).map_err(BuildError::io(format!("looking for slug {slug}")))?;
        }
        match self.engine.image(&build.engine_image).await {
            Ok(_) => return Ok(()),
            Err(EngineError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let lost = || BuildError::ImageLost { image: build.engine_image.clone() };
        let slug = build.slug.as_deref().filter(|slug| build.kind == BuildKind::Slug && self.slugs().contains(slug));
        let slug = slug.ok_or_else(lost)?;
        let commit = build.commit.as_deref().unwrap_or_default();
        let target = Target {
            reference: build.engine_image.clone(),
            labels: self.image_labels(build.app_id, &build.image, build.id, commit),
            app: build.app_id,
            build: build.id,
            operation: OperationId::new(),
            runtimes: build.runtimes.clone(),
        };
        let laid = tokio::time::timeout(LAY_LIMIT, self.lay(&target, self.slug_tar(slug)?)).await;
        laid.map_err(|_| BuildError::TimedOut { limit: LAY_LIMIT })??;
        Ok(())
    }

    /// Whether the image of a build is made from the run image as it is now; `false` when the engine has lost it.
    ///
    /// # Errors
    /// [`BuildError::NoStack`] when there is no run image.
    pub async fn is_on_present_stack(&self, build: &Build) -> Result<bool, BuildError> {
        let run_image = self.settings.stack.run_image();
        let present = match self.engine.image(&run_image).await {
            Err(EngineError::NotFound { .. }) => return Err(BuildError::NoStack { image: run_image }),
            present => present?,
        };
        match self.engine.image(&build.engine_image).await {
            Ok(image) => Ok(image.is_built_on(&present)),
            Err(EngineError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Lays the slug of an earlier build on the present run image as the image of the build `new`; yields the engine's
    /// reference. No buildpack runs.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`BuildError::ImageLost`] when the slug is not there any more.
    pub async fn rebase(
        &self,
        app: &App,
        build: &Build,
        new: BuildId,
        operation: &OperationId,
    ) -> Result<String, BuildError> {
        let slug = build.slug.as_deref().filter(|_| build.kind == BuildKind::Slug);
        let slug = slug.ok_or_else(|| BuildError::ImageLost { image: build.engine_image.clone() })?;
        if !self.slugs().touch(slug).map_err(BuildError::io(format!("looking for slug {slug}")))? {
            return Err(BuildError::ImageLost { image: build.engine_image.clone() });
        }
        let commit = build.commit.as_deref().unwrap_or_default();
        let target = Target {
            reference: reference(app, new),
            labels: self.image_labels(app.id, app.name.as_str(), new, commit),
            app: app.id,
            build: new,
            operation: operation.clone(),
            runtimes: build.runtimes.clone(),
        };
        let laid = tokio::time::timeout(LAY_LIMIT, self.lay(&target, self.slug_tar(slug)?)).await;
        laid.map_err(|_| BuildError::TimedOut { limit: LAY_LIMIT })??;
        Ok(target.reference)
    }

    /// Lays files, a tar archive, on the stack's run image, with the runtimes that they were built for.
    ///
    /// Cancel-safe: the container that it takes is removed, and the image has its name only once it is whole.
    pub(super) async fn lay(&self, target: &Target, files: ByteStream) -> Result<Image, BuildError> {
        let run_image = self.settings.stack.run_image();
        let spec = ContainerSpec {
            name: container_name(target.build, "lay"),
            labels: self.container_labels(target.app, &target.operation),
            ..ContainerSpec::default()
        };
        let container = self.container_on(target.errand(), run_image, &target.runtimes, spec).await?;
        self.engine.upload(container.id(), "/", files).await?;
        let image = self.engine.commit_container(container.id(), &target.reference, &target.labels, &[]).await?;
        Ok(image)
    }

    fn image_labels(&self, app: AppId, app_name: &str, build: BuildId, commit: &str) -> Labels {
        labels([
            (label::SERVER, &self.server_id),
            (label::APP, &app.to_string()),
            (label::APP_NAME, app_name),
            (label::BUILD, &build.to_string()),
            (label::COMMIT, commit),
        ])
    }

    /// The slug unpacked to a plain tar archive, its files dated now, as a stream.
    fn slug_tar(&self, slug: &str) -> Result<ByteStream, BuildError> {
        let file = self.slugs().read(slug).map_err(BuildError::io(format!("opening slug {slug}")))?;
        Ok(self.stream_of(Restamped::new(GzDecoder::new(io::BufReader::new(file)), now())))
    }

    /// What a reader gives, read ahead by a thread of its own.
    pub(super) fn stream_of(&self, mut reader: impl Read + Send + 'static) -> ByteStream {
        let (give, take) = mpsc::channel(CHUNKS_AHEAD);
        self.tasks.spawn_blocking(move || {
            loop {
                let mut chunk = Vec::with_capacity(CHUNK_BYTES);
                let read = (&mut reader).take(CHUNK_BYTES as u64).read_to_end(&mut chunk);
                let is_last = !matches!(read, Ok(1..));
                let item = read.map(|_| Bytes::from(chunk));
                // A reader that went away has no use for the rest.
                if matches!(item, Ok(ref bytes) if bytes.is_empty()) || give.blocking_send(item).is_err() || is_last {
                    break;
                }
            }
        });
        Box::pin(stream::unfold(take, |mut take| async { take.recv().await.map(|chunk| (chunk, take)) }))
    }

    /// A built tree as a plain tar archive, its files dated now, as a stream.
    pub(super) fn tree_tar(&self, tree: &Arc<Tree>) -> ByteStream {
        let tree = Arc::clone(tree);
        self.written(move |out| tree.write(out, now()).and_then(|mut out| out.flush()))
    }

    /// What `write` writes, on a thread of its own.
    fn written(&self, write: impl FnOnce(BufWriter<Chunks>) -> io::Result<()> + Send + 'static) -> ByteStream {
        let (give, take) = mpsc::channel(CHUNKS_AHEAD);
        self.tasks.spawn_blocking(move || {
            if let Err(error) = write(BufWriter::with_capacity(CHUNK_BYTES, Chunks(give.clone()))) {
                // A reader that went away has no use for it.
                let _ = give.blocking_send(Err(error));
            }
        });
        Box::pin(stream::unfold(take, |mut take| async { take.recv().await.map(|chunk| (chunk, take)) }))
    }
}

/// Seconds since the epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Sends on what is written.
struct Chunks(mpsc::Sender<io::Result<Bytes>>);

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
