//! The narrow waist to the container engine: images, containers, networks and volumes, in the platform's own words.
//!
//! Everything above speaks of [`ContainerSpec`]s and [`Container`]s; only `docker` knows the engine's API.

pub mod docker;
mod fetch;
#[cfg(test)]
pub mod memory;
mod spec;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

pub use fetch::{DEFAULT_STACK, ImageFetcher, registry_login};
pub use spec::{
    BUILD_NETWORK, Container, ContainerEvent, ContainerLog, ContainerSpec, ContainerState, EngineInfo, Executed,
    ExitStatus, Image, ImageBuild, Init, Labels, ListeningPort, LogOutput, Purpose, RegistryLogin, Resources, Secrets,
    Volume, Writer, Written, label,
};

/// What the engine could not do.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine does not answer.
    #[error("the container engine does not answer: {0}")]
    Unreachable(String),
    /// The thing that was named does not exist.
    #[error("{what} does not exist in the container engine")]
    NotFound {
        /// The image, container, network or volume.
        what: String,
    },
    /// A container needs the image or volume that was to be removed.
    #[error("{what} is in use: {message}")]
    InUse {
        /// The image or volume.
        what: String,
        /// The engine's message, which names the container.
        message: String,
    },
    /// A port of the host that a container publishes is in use by something else.
    #[error("{action}: {message}")]
    PortTaken {
        /// What was attempted, on which thing.
        action: String,
        /// The engine's message, which names the port.
        message: String,
    },
    /// An image has neither a command nor an entry point, and none was given.
    #[error("image {image} has no command: use one with CMD or ENTRYPOINT, or say what it runs")]
    NoCommand {
        /// The image.
        image: String,
    },
    /// The engine refused or failed; its own words.
    #[error("{action}: {message}")]
    Refused {
        /// What was attempted, on which thing.
        action: String,
        /// The engine's message.
        message: String,
    },
    /// A registry did not give an image.
    #[error("image {reference} cannot be pulled: {failure}")]
    PullFailed {
        /// The image.
        reference: String,
        /// Why, without the registry's own words: a tenant chooses which server that is.
        failure: PullFailure,
    },
    /// An image build ran and failed; its output has been streamed before.
    #[error("{0}")]
    BuildFailed(String),
    /// It took longer than allowed.
    #[error("{action} took longer than {} s", limit.as_secs())]
    TimedOut {
        /// What was attempted, on which thing.
        action: String,
        /// How long it was given.
        limit: Duration,
    },
    /// A stream to or from the engine broke.
    #[error("{action}: {source}")]
    Io {
        /// What was attempted.
        action: String,
        /// Why it broke.
        source: std::io::Error,
    },
}

impl EngineError {
    /// Whether the engine gave no answer, so that nobody knows what came of the question.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::TimedOut { .. } | Self::Io { .. })
    }
}

/// Why a registry did not give an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PullFailure {
    /// It wants a login, or another one. It says the same of many images that it does not have.
    #[error("the registry wants a login that may pull it, or has no such image")]
    Denied,
    /// It does not have the image.
    #[error("the registry has no such image")]
    Missing,
    /// Nobody answers, no name service knows the registry, or it is where none is asked. They are not told apart, so that
    /// nobody finds out by images what there is in the operator's network.
    #[error(
        "no registry answers at a public address, or at one that the operator of this server lists in SLIPWAY_OUTBOUND_ALLOW"
    )]
    Unreachable,
    /// What answered is no registry that the engine can talk to, or broke off.
    #[error("the registry's answer cannot be used")]
    Unusable,
}

/// The outcome of a removal, when what somebody else's container uses may stay: it is logged, and clean-up removes it later.
///
/// # Errors
/// Any but [`EngineError::InUse`].
pub fn unless_in_use(removal: Result<(), EngineError>) -> Result<(), EngineError> {
    match removal {
        Err(error @ EngineError::InUse { .. }) => {
            tracing::warn!(%error, "left where it is: a container that is not Slipway's uses it");
            Ok(())
        }
        other => other,
    }
}

/// Removes all volumes that carry all of `labels`.
///
/// # Errors
/// Of the first one that cannot be removed, [`EngineError::InUse`] for instance; calling again goes on from there.
pub async fn remove_volumes(engine: &dyn Engine, labels: &Labels) -> Result<(), EngineError> {
    for volume in engine.volumes(labels).await? {
        engine.remove_volume(&volume.name).await?;
    }
    Ok(())
}

/// A stream of chunks, as a tar archive travels to and from the engine.
pub type ByteStream = BoxStream<'static, Result<Bytes, std::io::Error>>;

/// Takes one line of build output, without the line end.
pub type LineSink<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// What Slipway needs of a container engine.
///
/// Every verb is idempotent where it can be: creating what exists with the same name succeeds and yields the existing
/// thing, removing or stopping what is gone succeeds. Verbs are cancel-safe in the sense that dropping the future leaves
/// the engine in a state that the same verb, called again, brings to the wanted end. Dropping [`Engine::build_image`]
/// stops the build.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Version and abilities; also the health probe of the engine itself.
    async fn info(&self) -> Result<EngineInfo, EngineError>;

    /// The image that `reference` names locally.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] when it is not there; nothing is pulled.
    async fn image(&self, reference: &str) -> Result<Image, EngineError>;

    /// Fetches an image from its registry (tag `latest` when none is given), with a login where one is given.
    async fn pull_image(
        &self,
        reference: &str,
        login: Option<&RegistryLogin>,
        on_line: LineSink<'_>,
    ) -> Result<Image, EngineError>;

    /// Builds a Dockerfile context; each output line goes to `on_line` as it arrives.
    ///
    /// Uses BuildKit where the engine has it. Dropping the future stops the build.
    async fn build_image(
        &self,
        build: &ImageBuild,
        context: ByteStream,
        on_line: LineSink<'_>,
    ) -> Result<Image, EngineError>;

    /// Makes an image from a root file system (tar, not compressed), with Dockerfile-style `changes` such as `CMD ["sh"]`.
    async fn import_image(&self, reference: &str, rootfs: ByteStream, changes: &[String])
    -> Result<Image, EngineError>;

    /// Gives an image another name.
    async fn tag_image(&self, reference: &str, new_reference: &str) -> Result<(), EngineError>;

    /// Forgets a name of an image, and the image with its last name.
    ///
    /// # Errors
    /// [`EngineError::InUse`] when it is the last name and a container needs the image; it keeps its name then.
    async fn remove_image(&self, reference: &str) -> Result<(), EngineError>;

    /// Images that carry all of `labels`, all images where there are none. Layers that are only parts of images are none.
    async fn images(&self, labels: &Labels) -> Result<Vec<Image>, EngineError>;

    /// Creates a container without starting it, and without the `HEALTHCHECK` of its image; yields its engine id. A container of that name and the same
    /// [`label::INSTANCE`] that exists already is returned instead.
    async fn create_container(&self, spec: &ContainerSpec) -> Result<String, EngineError>;

    /// Unpacks a tar archive into a container at `path`. Owners are taken from the archive's numbers.
    async fn upload(&self, container: &str, path: &str, archive: ByteStream) -> Result<(), EngineError>;

    /// The files below `path` as a tar archive, entries named from the last component of `path`.
    async fn download(&self, container: &str, path: &str) -> Result<ByteStream, EngineError>;

    /// Turns a container's file system into an image that keeps its parent's configuration, with `changes` laid over.
    /// Variables and labels that only the container had may remain by name, without a value.
    async fn commit_container(
        &self,
        container: &str,
        reference: &str,
        labels: &Labels,
        changes: &[String],
    ) -> Result<Image, EngineError>;

    /// Starts a created or exited container; one that runs is left alone.
    ///
    /// # Errors
    /// [`EngineError::PortTaken`] when something else on the host has a port that it publishes.
    async fn start_container(&self, container: &str) -> Result<(), EngineError>;

    /// Sends SIGTERM, to whom [`label::TERM`] says, waits at most `grace` until every process has ended, then SIGKILL. A container that
    /// is gone or stopped is fine. An engine on another machine gives the time to the first process only.
    async fn stop_container(&self, container: &str, grace: Duration) -> Result<(), EngineError>;

    /// Kills and removes a container with its anonymous volumes. One that is gone is fine.
    async fn remove_container(&self, container: &str) -> Result<(), EngineError>;

    /// What a container writes to its outputs from now on, as it is, until it ends. To miss nothing, attach before it is
    /// started. The stream must be read: a container whose output nobody takes comes to a stop.
    async fn attach(&self, container: &str) -> Result<BoxStream<'static, Result<Bytes, EngineError>>, EngineError>;

    /// Runs a command in a running container, with its user, environment and working directory, and waits for its end.
    ///
    /// # Errors
    /// [`EngineError::TimedOut`] after `limit`; the command is killed where the engine runs on this machine. A command that
    /// cannot be started at all has a status of 126 or 127, or is [`EngineError::Refused`]. Dropping the future leaves the
    /// command running.
    async fn exec(&self, container: &str, command: &[String], limit: Duration) -> Result<Executed, EngineError>;

    /// Waits until a container is no longer running.
    async fn wait_container(&self, container: &str) -> Result<ExitStatus, EngineError>;

    /// The present state of one container, by engine id or name.
    async fn container(&self, container: &str) -> Result<Container, EngineError>;

    /// All containers, running or not, that carry all of `labels`. An empty label value matches any value.
    async fn containers(&self, labels: &Labels) -> Result<Vec<Container>, EngineError>;

    /// Ports on which the processes of a running container listen, read from its network namespace. Empty when that
    /// cannot be known (an engine on another machine).
    async fn listening_ports(&self, container: &str) -> Result<Vec<ListeningPort>, EngineError>;

    /// Output of a container from `since` (seconds since the epoch, 0 = from the start), going on as long as it runs
    /// when `follow`.
    fn logs(&self, container: &str, since: i64, follow: bool) -> BoxStream<'static, Result<ContainerLog, EngineError>>;

    /// Starts, deaths, out-of-memory kills and removals of containers that carry `labels`, from now on. Whoever is told of a
    /// death finds it in [`Engine::containers`]. The stream ends when the engine goes away.
    fn events(&self, labels: &Labels) -> BoxStream<'static, Result<ContainerEvent, EngineError>>;

    /// Creates an isolated network of that name unless it exists. Containers on different networks cannot reach each
    /// other; the host reaches them all.
    async fn ensure_network(&self, name: &str, labels: &Labels) -> Result<(), EngineError>;

    /// Removes a network. One that is gone is fine.
    async fn remove_network(&self, name: &str) -> Result<(), EngineError>;

    /// Names of networks that carry all of `labels`.
    async fn networks(&self, labels: &Labels) -> Result<Vec<String>, EngineError>;

    /// Creates a volume unless it exists.
    async fn ensure_volume(&self, name: &str, labels: &Labels) -> Result<(), EngineError>;

    /// Removes a volume. One that is gone is fine.
    ///
    /// # Errors
    /// [`EngineError::InUse`] when a container needs it.
    async fn remove_volume(&self, name: &str) -> Result<(), EngineError>;

    /// Volumes that carry all of `labels`.
    async fn volumes(&self, labels: &Labels) -> Result<Vec<Volume>, EngineError>;

    /// Bytes that each volume of the engine holds, by name; those that the engine cannot measure are left out. It reads all
    /// of them, which may take minutes and keeps the disk busy.
    async fn volume_sizes(&self) -> Result<BTreeMap<String, u64>, EngineError>;

    /// What containers that carry all of `labels` have written, running or not, and what steps of image builds that are at
    /// work have. It reads the folders of all of them. Steps and volumes are left out where Slipway cannot look at the engine's disk.
    async fn written(&self, labels: &Labels) -> Result<Vec<Written>, EngineError>;

    /// Bounds all image builds of this engine together, where Slipway can reach what holds them; yields the path of the
    /// control group that does, or `None` where there is none to be had (an engine on another machine).
    async fn limit_image_builds(&self, resources: &Resources) -> Result<Option<std::path::PathBuf>, EngineError>;
}

/// A tar archive of a few small files, for [`Engine::upload`] and [`Engine::build_image`].
///
/// Each file comes as (path, mode, contents); owner is `uid`, for the group too.
pub fn small_archive<'a>(
    files: impl IntoIterator<Item = (&'a Path, u32, &'a [u8])>,
    uid: u64,
) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, mode, contents) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(mode);
        header.set_uid(uid);
        header.set_gid(uid);
        header.set_mtime(0);
        archive.append_data(&mut header, path, contents)?;
    }
    archive.into_inner()
}

/// Bytes that are all there already, as a stream.
pub fn byte_stream(bytes: Vec<u8>) -> ByteStream {
    Box::pin(futures_util::stream::once(async move { Ok(Bytes::from(bytes)) }))
}

/// Labels from pairs.
pub fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>()
}
