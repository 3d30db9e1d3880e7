//! Runtimes on disk, once per server, and the images of the stack that have them.
//!
//! Nothing that a build or an app runs can write to either: an archive is on the server's own disk, and images are layers
//! below those that a container writes to.

use std::io::BufReader;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::Tool;
use super::installer::{Errand, RUNTIME_IMAGE_PREFIX};
use super::version::Version;
use crate::build::builder::container_name;
use crate::build::output::{Phase, size};
use crate::build::scratch::Scratch;
use crate::build::{BuildError, Builder};
use crate::engine::{ContainerSpec, EngineError, LineSink, label, labels};
use crate::model::Runtime;

/// Where runtimes lie, one folder for each version: `TOOL/VERSION`.
const FOLDER: &str = "/opt/slipway";

/// Where programs are in the stack's own images.
const STACK_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Programs are compressed as fast as it goes: each is read far less often than it would pay.
const GZIP_LEVEL: Compression = Compression::new(1);

/// The runtimes of a build beside the stack's own, as images are labelled: `node-24.1.0 python-3.13.2`.
pub fn runtimes_label(runtimes: &[Runtime]) -> String {
    let mut names: Vec<String> = runtimes.iter().filter_map(Runtime::archive).collect();
    names.sort_unstable();
    names.join(" ")
}

impl Builder {
    /// Makes sure that a runtime is in the store; the inner error is why it cannot be fetched.
    ///
    /// Cancel-safe, also for a crash: an archive has its name once it is whole.
    pub(super) async fn ensure_runtime(
        &self,
        errand: Errand<'_>,
        tool: Tool,
        version: &Version,
        on_line: LineSink<'_>,
    ) -> Result<Result<(), String>, BuildError> {
        let name = format!("{}-{version}", tool.name());
        let touch = || self.slugs().touch(&name).map_err(BuildError::io(format!("looking for runtime {name}")));
        if touch()? {
            return Ok(Ok(()));
        }
        // One at a time for the whole server: who waits finds it there, and nobody takes all of the machine's disk and line.
        let _turn = self.runtimes.installing.lock().await;
        if touch()? {
            return Ok(Ok(()));
        }
        self.check_space().await?;
        let phase = Phase::begin(on_line, &format!("Fetching {tool} {version}, which no app of this server had yet"));
        let arguments = ["install", tool.name(), version.as_str()];
        let container = match self.installer(errand, &arguments, tool).await? {
            Ok((container, _)) => container,
            Err(reason) => return Ok(Err(reason)),
        };
        let bytes = self.keep_runtime(&container, name).await?;
        phase.detail(&format!("{} to keep, compressed", size(bytes)));
        phase.done();
        Ok(Ok(()))
    }

    /// Brings what was installed into the store; returns its size.
    async fn keep_runtime(&self, container: &Scratch, name: String) -> Result<u64, BuildError> {
        let archive = self.engine.download(container.id(), FOLDER).await?;
        let mut raw = self.spool(archive, self.settings.slug_bytes).await?;
        let slugs = self.slugs().clone();
        self.blocking("keeping a runtime", move || {
            let writing = || BuildError::io(format!("writing to {}", slugs.dir().display()));
            std::io::Seek::rewind(&mut raw).map_err(writing())?;
            let file = slugs.spool().map_err(writing())?;
            let mut gzip = GzEncoder::new(file.as_file(), GZIP_LEVEL);
            std::io::copy(&mut BufReader::new(raw), &mut gzip).map_err(writing())?;
            gzip.finish().map_err(writing())?;
            let bytes = file.as_file().metadata().map_err(writing())?.len();
            slugs.keep(file, &name).map_err(writing())?;
            Ok(bytes)
        })
        .await
    }

    /// Content id of one of the stack's images with these runtimes, which come first on its `PATH`: the stack's image itself
    /// where there are none.
    ///
    /// Cancel-safe: the image has its name once it is whole.
    ///
    /// # Errors
    /// [`BuildError::Refused`] when a runtime is not in the store any more and cannot be fetched again.
    async fn base_image(&self, errand: Errand<'_>, stack: String, runtimes: &[Runtime]) -> Result<String, BuildError> {
        let stack = self.stack_image_id(stack).await?;
        let made_of = runtimes_label(runtimes);
        if made_of.is_empty() {
            return Ok(stack);
        }
        let digest = hex::encode(Sha256::digest([&*self.server_id, &*stack, &*made_of].join("\0")));
        let reference = format!("{RUNTIME_IMAGE_PREFIX}{}", &digest[..32]);
        match self.engine.image(&reference).await {
            Ok(found) => return Ok(found.id),
            Err(EngineError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let spec = ContainerSpec {
            name: container_name(errand.build, "base"),
            image: stack,
            labels: self.container_labels(errand.app, errand.operation),
            ..ContainerSpec::default()
        };
        let container = Scratch::create(&self.engine, &self.tasks, spec).await?;
        let mut path = Vec::new();
        for runtime in runtimes {
            let Some(name) = runtime.archive() else { continue };
            self.refetch(errand, runtime).await?;
            let file = self.slugs().read(&name).map_err(BuildError::io(format!("opening runtime {name}")))?;
            let archive = self.stream_of(GzDecoder::new(BufReader::new(file)));
            self.engine.upload(container.id(), "/opt", archive).await?;
            path.push(format!(
                "{FOLDER}/runtimes/{}/{}/bin",
                runtime.tool,
                runtime.version.as_deref().unwrap_or_default()
            ));
        }
        let changes = [format!("ENV PATH={}:{STACK_PATH}", path.join(":"))];
        let labels = labels([(label::SERVER, &self.server_id), (label::RUNTIMES, &made_of)]);
        let image = self.engine.commit_container(container.id(), &reference, &labels, &changes).await?;
        Ok(image.id)
    }

    /// A container of one of the stack's images with these runtimes; of `spec` all but the image counts.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`BuildError::NoStack`] when the stack's image is not there; those of [`Builder::base_image`].
    pub(in crate::build) async fn container_on(
        &self,
        errand: Errand<'_>,
        stack: String,
        runtimes: &[Runtime],
        mut spec: ContainerSpec,
    ) -> Result<Scratch, BuildError> {
        for may_try_again in [true, false] {
            spec.image = self.base_image(errand, stack.clone(), runtimes).await?;
            match Scratch::create_apart(&self.engine, &self.tasks, spec.clone()).await {
                // Clean-up may have removed the image that no build needed until now.
                Err(EngineError::NotFound { .. }) if may_try_again => {}
                Err(EngineError::NotFound { .. }) => break,
                created => return Ok(created?),
            }
        }
        Err(BuildError::NoStack { image: stack })
    }

    /// Fetches a runtime again that the store has lost.
    async fn refetch(&self, errand: Errand<'_>, runtime: &Runtime) -> Result<(), BuildError> {
        let known = Tool::of_name(&runtime.tool).zip(runtime.version.as_deref().and_then(Version::parse));
        let Some((tool, version)) = known else {
            return Err(BuildError::Refused(format!("There is no runtime {} {:?}.", runtime.tool, runtime.version)));
        };
        let fetched = self.ensure_runtime(errand, tool, &version, &|_| {}).await?;
        fetched.map_err(|reason| {
            BuildError::Refused(format!(
                "This server has lost {tool} {version}, which the build was made for, and cannot fetch it again: {reason}. Push \
                 again when {} answers.",
                self.source_of(tool)
            ))
        })
    }

    /// The versions of a language that the store has.
    pub(super) fn versions_here(&self, tool: Tool) -> Result<Vec<Version>, BuildError> {
        let files = self.slugs().runtimes().map_err(BuildError::io("looking at the runtimes that are here"))?;
        let names = files.iter().filter_map(|file| file.name.strip_prefix(tool.name())?.strip_prefix('-'));
        Ok(names.filter_map(Version::parse).collect())
    }
}
