//! The Docker Engine behind the [`Engine`] trait, and the only user of its API.

mod act;
mod build;
mod build_output;
mod containers;
mod exec;
mod farewell;
mod images;
mod kernel_log;
mod limits;
mod lines;
mod networks;
mod ports;
mod session;
mod streams;
#[cfg(test)]
mod tests;
mod transfer;
mod tree_size;
mod usage;
mod written;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::{
    ByteStream, Container, ContainerEvent, ContainerLog, ContainerSpec, Engine, EngineError, EngineInfo, Executed,
    ExitStatus, Image, ImageBuild, Labels, LineSink, ListeningPort, RegistryLogin, Resources, Volume, Written,
};
use act::Act;
use kernel_log::KernelLog;
use session::EngineAddress;

/// What the client library waits for the head of an answer. An answer to a large upload or a silent build takes as long
/// as the work, so each call here sets its own limit instead.
const CLIENT_LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Limit of a call that only looks something up or changes a record.
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// Limit of a call that moves the contents of images or containers.
const TRANSFER_LIMIT: Duration = Duration::from_secs(30 * 60);

/// API version from which the engine offers BuildKit (18.09).
const BUILDKIT_SINCE: (usize, usize) = (1, 39);

/// One Docker Engine, 20.10 or newer.
pub struct Docker {
    client: bollard::Docker,
    /// The engine's socket when it runs on this machine.
    socket: Option<PathBuf>,
    /// Where it listens, for what the client library cannot ask.
    address: EngineAddress,
    /// Whether containers can get a first process that reaps zombies and passes signals on.
    has_init: bool,
    has_buildkit: bool,
    /// Held while a network is looked up and created: engine network names are not unique.
    network_creation: tokio::sync::Mutex<()>,
    /// What the kernel says, where the engine runs on this machine.
    kernel_log: KernelLog,
}

impl Docker {
    /// Connects to the engine at `unix:///path` or `tcp://host:port` and agrees on an API version with it.
    ///
    /// # Errors
    /// [`EngineError::Unreachable`] when nothing answers there; [`EngineError::Refused`] when `host` is neither form.
    /// Both say what to do. Nothing is kept on failure, so a caller may simply try again later.
    pub async fn connect(host: &str) -> Result<Self, EngineError> {
        let act = Act::on("connecting to", "the engine at", host);
        let socket = host.strip_prefix("unix://").map(PathBuf::from);
        let client = if socket.is_some() {
            bollard::Docker::connect_with_unix(host, CLIENT_LIMIT.as_secs(), bollard::API_DEFAULT_VERSION)
        } else if host.starts_with("tcp://") {
            bollard::Docker::connect_with_http(host, CLIENT_LIMIT.as_secs(), bollard::API_DEFAULT_VERSION)
        } else {
            let message = "give the engine's address as unix:///path/to/docker.sock or tcp://host:port".to_owned();
            return Err(EngineError::Refused { action: act.action(), message });
        };
        let at_host = |error| match error {
            EngineError::Unreachable(why) => EngineError::Unreachable(format!("{host}: {why}")),
            other => other,
        };
        let client = client.map_err(|error| at_host(act.failed(error)))?;
        let client = act.within(CALL_LIMIT, client.negotiate_version()).await.map_err(at_host)?;
        let version = act.within(CALL_LIMIT, client.version()).await.map_err(at_host)?;
        let info = act.within(CALL_LIMIT, client.info()).await.map_err(at_host)?;

        let api = client.client_version();
        let is_docker = version.components.iter().flatten().any(|component| component.name == "Engine");
        Ok(Self {
            has_buildkit: is_docker && (api.major_version, api.minor_version) >= BUILDKIT_SINCE,
            // The engine runs `docker-init --version` and says N/A when that fails.
            has_init: info.init_commit.and_then(|commit| commit.id).is_some_and(|id| id != "N/A"),
            client,
            address: match &socket {
                Some(path) => EngineAddress::Unix(path.clone()),
                None => EngineAddress::Tcp(host.trim_start_matches("tcp://").to_owned()),
            },
            socket,
            network_creation: tokio::sync::Mutex::new(()),
            kernel_log: KernelLog::default(),
        })
    }

    async fn describe(&self) -> Result<EngineInfo, EngineError> {
        let act = Act::on("asking", "the engine", "about itself");
        let version = act.within(CALL_LIMIT, self.client.version()).await?;
        let info = act.within(CALL_LIMIT, self.client.info()).await?;
        Ok(EngineInfo {
            version: version.version.unwrap_or_default(),
            api_version: self.client.client_version().to_string(),
            has_buildkit: self.has_buildkit,
            cpus: info.ncpu.unwrap_or_default(),
            memory_bytes: info.mem_total.unwrap_or_default(),
            memory_available_bytes: if self.socket.is_some() { memory_available().await } else { None },
            root_dir: info.docker_root_dir.unwrap_or_default(),
            node_labels: info.labels.unwrap_or_default().iter().map(|label| pair(label)).collect(),
        })
    }
}

/// What the kernel could give to new processes without swapping, in bytes.
async fn memory_available() -> Option<i64> {
    let text = tokio::fs::read_to_string("/proc/meminfo").await.ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<i64>().ok()?.checked_mul(1024)
}

/// A node label as the engine prints it: `name=value`, or a name alone.
fn pair(label: &str) -> (String, String) {
    let (name, value) = label.split_once('=').unwrap_or((label, ""));
    (name.to_owned(), value.to_owned())
}

/// The engine's filter for things that carry all of `labels`; an empty value matches any value.
fn label_filter(labels: &Labels) -> std::collections::HashMap<String, Vec<String>> {
    let wanted = labels
        .iter()
        .map(|(key, value)| if value.is_empty() { key.clone() } else { format!("{key}={value}") })
        .collect::<Vec<_>>();
    std::collections::HashMap::from([("label".to_owned(), wanted)])
}

/// Turns "it does not exist" into success, for verbs that only want a thing gone.
fn unless_gone(result: Result<(), EngineError>) -> Result<(), EngineError> {
    match result {
        Err(EngineError::NotFound { .. }) => Ok(()),
        other => other,
    }
}

#[async_trait]
impl Engine for Docker {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        self.describe().await
    }

    async fn image(&self, reference: &str) -> Result<Image, EngineError> {
        self.inspect_image(reference).await
    }

    async fn pull_image(
        &self,
        reference: &str,
        login: Option<&RegistryLogin>,
        on_line: LineSink<'_>,
    ) -> Result<Image, EngineError> {
        self.pull(reference, login, on_line).await
    }

    async fn build_image(
        &self,
        build: &ImageBuild,
        context: ByteStream,
        on_line: LineSink<'_>,
    ) -> Result<Image, EngineError> {
        let builder = if self.has_buildkit { build::Builder::BuildKit } else { build::Builder::Classic };
        self.build(builder, build, context, on_line).await
    }

    async fn import_image(
        &self,
        reference: &str,
        rootfs: ByteStream,
        changes: &[String],
    ) -> Result<Image, EngineError> {
        self.import(reference, rootfs, changes).await
    }

    async fn tag_image(&self, reference: &str, new_reference: &str) -> Result<(), EngineError> {
        self.tag(reference, new_reference).await
    }

    async fn remove_image(&self, reference: &str) -> Result<(), EngineError> {
        self.untag(reference).await
    }

    async fn images(&self, labels: &Labels) -> Result<Vec<Image>, EngineError> {
        self.list_images(labels).await
    }

    async fn create_container(&self, spec: &ContainerSpec) -> Result<String, EngineError> {
        self.create(spec).await
    }

    async fn upload(&self, container: &str, path: &str, archive: ByteStream) -> Result<(), EngineError> {
        self.put_archive(container, path, archive).await
    }

    async fn download(&self, container: &str, path: &str) -> Result<ByteStream, EngineError> {
        self.get_archive(container, path).await
    }

    async fn commit_container(
        &self,
        container: &str,
        reference: &str,
        labels: &Labels,
        changes: &[String],
    ) -> Result<Image, EngineError> {
        self.commit(container, reference, labels, changes).await
    }

    async fn start_container(&self, container: &str) -> Result<(), EngineError> {
        self.start(container).await
    }

    async fn stop_container(&self, container: &str, grace: Duration) -> Result<(), EngineError> {
        self.stop(container, grace).await
    }

    async fn remove_container(&self, container: &str) -> Result<(), EngineError> {
        self.remove(container).await
    }

    async fn attach(&self, container: &str) -> Result<BoxStream<'static, Result<Bytes, EngineError>>, EngineError> {
        self.raw_output(container).await
    }

    async fn exec(&self, container: &str, command: &[String], limit: Duration) -> Result<Executed, EngineError> {
        self.execute(container, command, limit).await
    }

    async fn wait_container(&self, container: &str) -> Result<ExitStatus, EngineError> {
        self.wait(container).await
    }

    async fn container(&self, container: &str) -> Result<Container, EngineError> {
        self.inspect(container).await
    }

    async fn containers(&self, labels: &Labels) -> Result<Vec<Container>, EngineError> {
        self.list(labels).await
    }

    async fn listening_ports(&self, container: &str) -> Result<Vec<ListeningPort>, EngineError> {
        self.ports(container).await
    }

    fn logs(&self, container: &str, since: i64, follow: bool) -> BoxStream<'static, Result<ContainerLog, EngineError>> {
        self.log_lines(container, since, follow)
    }

    fn events(&self, labels: &Labels) -> BoxStream<'static, Result<ContainerEvent, EngineError>> {
        self.container_events(labels)
    }

    async fn ensure_network(&self, name: &str, labels: &Labels) -> Result<(), EngineError> {
        self.make_network(name, labels).await
    }

    async fn remove_network(&self, name: &str) -> Result<(), EngineError> {
        self.drop_network(name).await
    }

    async fn networks(&self, labels: &Labels) -> Result<Vec<String>, EngineError> {
        self.network_names(labels).await
    }

    async fn ensure_volume(&self, name: &str, labels: &Labels) -> Result<(), EngineError> {
        self.make_volume(name, labels).await
    }

    async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        self.drop_volume(name).await
    }

    async fn volumes(&self, labels: &Labels) -> Result<Vec<Volume>, EngineError> {
        self.list_volumes(labels).await
    }

    async fn volume_sizes(&self) -> Result<BTreeMap<String, u64>, EngineError> {
        self.measure_volumes().await
    }

    async fn written(&self, labels: &Labels) -> Result<Vec<Written>, EngineError> {
        self.measure_written(labels).await
    }

    async fn limit_image_builds(&self, resources: &Resources) -> Result<Option<PathBuf>, EngineError> {
        self.limit_builds(resources).await
    }
}
