//! An engine of images and containers that only exist here, for what this door shows of them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use tokio_util::sync::CancellationToken;

use crate::engine::{
    ByteStream, Container, ContainerEvent, ContainerLog, ContainerSpec, ContainerState, Engine, EngineError,
    EngineInfo, Executed, ExitStatus, Image, ImageBuild, Labels, LineSink, ListeningPort, LogOutput, PullFailure,
    RegistryLogin, Resources, Volume, Written, byte_stream, label,
};

/// Every container answers at one listener, whose port its image declares.
pub struct Fake {
    listener: TcpListener,
    images: Mutex<BTreeMap<String, Image>>,
    containers: Mutex<Vec<Container>>,
    /// Fire when a container ends, by engine id.
    ends: Mutex<BTreeMap<String, CancellationToken>>,
    is_away: AtomicBool,
    node_labels: Mutex<Labels>,
    has_no_shell: AtomicBool,
    /// What one-offs print, and how they end; those without an end run until they are stopped.
    runs: Mutex<(Vec<u8>, Option<ExitStatus>)>,
    /// Every one-off that was ever made.
    one_offs: Mutex<Vec<ContainerSpec>>,
}

/// What every container says when it starts.
pub const SAYING: &str = "Hello, 世界";

/// How a container ends that is told to.
const STOPPED: ExitStatus = ExitStatus { code: 143, out_of_memory: false };

impl Fake {
    /// An engine that has `image`.
    pub fn with_image(image: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let made = Image {
            id: "sha256:1".to_owned(),
            tags: vec![image.to_owned()],
            ports: vec![port],
            command: vec!["serve".to_owned()],
            labels: Labels::new(),
            size_bytes: 1,
            ..Image::default()
        };
        Self {
            listener,
            images: Mutex::new([(image.to_owned(), made)].into()),
            containers: Mutex::default(),
            ends: Mutex::default(),
            is_away: AtomicBool::new(false),
            node_labels: Mutex::default(),
            has_no_shell: AtomicBool::new(false),
            runs: Mutex::new((Vec::new(), Some(ExitStatus { code: 0, out_of_memory: false }))),
            one_offs: Mutex::default(),
        }
    }

    /// Makes every question go unanswered from now on.
    pub fn go_away(&self) {
        self.is_away.store(true, Ordering::Relaxed);
    }

    /// Answers again.
    pub fn come_back(&self) {
        self.is_away.store(false, Ordering::Relaxed);
    }

    /// Whether it has no container.
    pub fn is_empty(&self) -> bool {
        self.containers.lock().unwrap().is_empty()
    }

    /// Gives the node a label.
    pub fn label_node(&self, name: &str, value: &str) {
        self.node_labels.lock().unwrap().insert(name.to_owned(), value.to_owned());
    }

    /// Has the image under another name too.
    pub fn add_image(&self, reference: &str) {
        let mut images = self.images.lock().unwrap();
        let image = images.values().next().unwrap().clone();
        images.insert(reference.to_owned(), Image { tags: vec![reference.to_owned()], ..image });
    }

    /// One-offs print this from now on, and end like that or not at all.
    pub fn answer_runs(&self, output: &[u8], end: Option<ExitStatus>) {
        *self.runs.lock().unwrap() = (output.to_owned(), end);
    }

    /// No image has a shell from now on.
    pub fn have_no_shell(&self) {
        self.has_no_shell.store(true, Ordering::Relaxed);
    }

    /// What one-offs were created with, in order.
    pub fn one_offs(&self) -> Vec<ContainerSpec> {
        self.one_offs.lock().unwrap().clone()
    }

    /// How many one-offs there are now.
    pub fn one_offs_there(&self) -> usize {
        self.containers.lock().unwrap().iter().filter(|c| c.labels.contains_key(label::ONE_OFF)).count()
    }

    /// Puts every container into a state.
    pub fn set_all(&self, state: &ContainerState) {
        self.containers.lock().unwrap().iter_mut().for_each(|container| container.state = state.clone());
    }

    /// Removes every container behind the platform's back.
    pub fn lose_all(&self) {
        self.containers.lock().unwrap().clear();
    }

    fn set(&self, id: &str, state: ContainerState) {
        self.containers.lock().unwrap().iter_mut().filter(|c| c.id == id).for_each(|c| c.state = state.clone());
    }

    fn end_of(&self, id: &str) -> CancellationToken {
        self.ends.lock().unwrap().entry(id.to_owned()).or_default().clone()
    }

    fn answers(&self) -> Result<(), EngineError> {
        match self.is_away.load(Ordering::Relaxed) {
            true => Err(EngineError::Unreachable("connection refused".to_owned())),
            false => Ok(()),
        }
    }
}

fn missing(what: &str) -> EngineError {
    EngineError::NotFound { what: what.to_owned() }
}

fn unused<T>(action: &str) -> Result<T, EngineError> {
    Err(EngineError::Refused { action: action.to_owned(), message: "this engine does not".to_owned() })
}

fn has(labels: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key).is_some_and(|found| value.is_empty() || found == value))
}

#[async_trait]
impl Engine for Fake {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        self.answers()?;
        Ok(EngineInfo {
            version: "20.10.24".to_owned(),
            api_version: "1.41".to_owned(),
            has_buildkit: true,
            cpus: 2,
            memory_bytes: 1 << 30,
            memory_available_bytes: None,
            root_dir: "/nowhere".to_owned(),
            node_labels: self.node_labels.lock().unwrap().clone(),
        })
    }

    async fn image(&self, reference: &str) -> Result<Image, EngineError> {
        self.answers()?;
        let images = self.images.lock().unwrap();
        images
            .values()
            .find(|i| i.id == reference || i.tags.iter().any(|t| t == reference))
            .cloned()
            .ok_or_else(|| missing(reference))
    }

    async fn pull_image(
        &self,
        reference: &str,
        _: Option<&RegistryLogin>,
        _: LineSink<'_>,
    ) -> Result<Image, EngineError> {
        self.answers()?;
        Err(EngineError::PullFailed { reference: reference.to_owned(), failure: PullFailure::Unreachable })
    }

    async fn build_image(&self, _: &ImageBuild, _: ByteStream, _: LineSink<'_>) -> Result<Image, EngineError> {
        unused("build")
    }

    async fn import_image(&self, _: &str, _: ByteStream, _: &[String]) -> Result<Image, EngineError> {
        unused("import")
    }

    async fn tag_image(&self, reference: &str, new_reference: &str) -> Result<(), EngineError> {
        let mut image = self.image(reference).await?;
        image.tags = vec![new_reference.to_owned()];
        self.images.lock().unwrap().insert(new_reference.to_owned(), image);
        Ok(())
    }

    async fn remove_image(&self, reference: &str) -> Result<(), EngineError> {
        self.answers()?;
        self.images.lock().unwrap().remove(reference).map(|_| ()).ok_or_else(|| missing(reference))
    }

    async fn images(&self, labels: &Labels) -> Result<Vec<Image>, EngineError> {
        self.answers()?;
        Ok(self.images.lock().unwrap().values().filter(|image| has(&image.labels, labels)).cloned().collect())
    }

    async fn create_container(&self, spec: &ContainerSpec) -> Result<String, EngineError> {
        let image_id = self.image(&spec.image).await?.id;
        if spec.labels.contains_key(label::ONE_OFF) {
            self.one_offs.lock().unwrap().push(spec.clone());
        }
        self.containers.lock().unwrap().push(Container {
            id: spec.name.clone(),
            name: spec.name.clone(),
            state: ContainerState::Created,
            labels: spec.labels.clone(),
            ip: None,
            created_at: crate::model::Timestamp::now(),
            image_id,
        });
        Ok(spec.name.clone())
    }

    async fn upload(&self, _: &str, _: &str, _: ByteStream) -> Result<(), EngineError> {
        unused("upload")
    }

    async fn download(&self, _: &str, _: &str) -> Result<ByteStream, EngineError> {
        if self.has_no_shell.load(Ordering::Relaxed) { Err(missing("the file")) } else { Ok(byte_stream(Vec::new())) }
    }

    async fn commit_container(&self, _: &str, _: &str, _: &Labels, _: &[String]) -> Result<Image, EngineError> {
        unused("commit")
    }

    async fn start_container(&self, container: &str) -> Result<(), EngineError> {
        self.answers()?;
        self.set(container, ContainerState::Running);
        let is_one_off = self.container(container).await?.labels.contains_key(label::ONE_OFF);
        if let (true, Some(end)) = (is_one_off, self.runs.lock().unwrap().1) {
            self.set(container, ContainerState::Exited(end));
            self.end_of(container).cancel();
        }
        Ok(())
    }

    async fn stop_container(&self, container: &str, _: Duration) -> Result<(), EngineError> {
        self.answers()?;
        self.set(container, ContainerState::Exited(STOPPED));
        self.end_of(container).cancel();
        Ok(())
    }

    async fn remove_container(&self, container: &str) -> Result<(), EngineError> {
        self.answers()?;
        self.containers.lock().unwrap().retain(|c| c.id != container);
        self.end_of(container).cancel();
        Ok(())
    }

    async fn attach(&self, container: &str) -> Result<BoxStream<'static, Result<Bytes, EngineError>>, EngineError> {
        self.answers()?;
        let said = Bytes::from(self.runs.lock().unwrap().0.clone());
        let end = self.end_of(container);
        Ok(stream::iter([Ok(said)]).chain(stream::pending().take_until(end.cancelled_owned())).boxed())
    }

    async fn exec(&self, _: &str, _: &[String], _: Duration) -> Result<Executed, EngineError> {
        unused("exec")
    }

    async fn wait_container(&self, container: &str) -> Result<ExitStatus, EngineError> {
        self.end_of(container).cancelled().await;
        match self.container(container).await?.state {
            ContainerState::Exited(status) => Ok(status),
            _ => Ok(STOPPED),
        }
    }

    async fn container(&self, container: &str) -> Result<Container, EngineError> {
        self.answers()?;
        let mut found = self
            .containers
            .lock()
            .unwrap()
            .iter()
            .find(|c| c.id == container)
            .cloned()
            .ok_or_else(|| missing(container))?;
        found.ip = self.listener.local_addr().ok().map(|address| address.ip()).filter(IpAddr::is_loopback);
        Ok(found)
    }

    async fn containers(&self, labels: &Labels) -> Result<Vec<Container>, EngineError> {
        self.answers()?;
        Ok(self.containers.lock().unwrap().iter().filter(|c| has(&c.labels, labels)).cloned().collect())
    }

    async fn listening_ports(&self, _: &str) -> Result<Vec<ListeningPort>, EngineError> {
        Ok(Vec::new())
    }

    fn logs(&self, container: &str, _: i64, _: bool) -> BoxStream<'static, Result<ContainerLog, EngineError>> {
        let line =
            ContainerLog { nanos: 1_415_995_200_000_000_000, output: LogOutput::Stdout, text: SAYING.to_owned() };
        let end = self.end_of(container);
        stream::iter([Ok(line)]).chain(stream::pending().take_until(end.cancelled_owned())).boxed()
    }

    fn events(&self, _: &Labels) -> BoxStream<'static, Result<ContainerEvent, EngineError>> {
        stream::pending().boxed()
    }

    async fn ensure_network(&self, _: &str, _: &Labels) -> Result<(), EngineError> {
        self.answers()
    }

    async fn remove_network(&self, _: &str) -> Result<(), EngineError> {
        self.answers()
    }

    async fn networks(&self, _: &Labels) -> Result<Vec<String>, EngineError> {
        Ok(Vec::new())
    }

    async fn ensure_volume(&self, _: &str, _: &Labels) -> Result<(), EngineError> {
        self.answers()
    }

    async fn remove_volume(&self, _: &str) -> Result<(), EngineError> {
        self.answers()
    }

    async fn volumes(&self, _: &Labels) -> Result<Vec<Volume>, EngineError> {
        self.answers().map(|()| Vec::new())
    }

    async fn volume_sizes(&self) -> Result<BTreeMap<String, u64>, EngineError> {
        self.answers().map(|()| BTreeMap::new())
    }

    async fn written(&self, _: &Labels) -> Result<Vec<Written>, EngineError> {
        self.answers().map(|()| Vec::new())
    }

    async fn limit_image_builds(&self, _: &Resources) -> Result<Option<PathBuf>, EngineError> {
        Ok(None)
    }
}
