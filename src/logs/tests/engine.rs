//! An engine that has containers with output, and can be cut off.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;

use crate::engine::*;

/// What one container has said and does.
struct Talker {
    lines: Vec<ContainerLog>,
    state: ContainerState,
}

/// Only what a collector asks of an engine is there; the rest is refused.
pub(super) struct TalkingEngine {
    containers: Mutex<HashMap<String, Talker>>,
    /// Ticks at every change; its value counts how often the engine went away.
    changes: watch::Sender<u32>,
    is_away: Mutex<bool>,
    /// Log streams opened so far, by container and the second asked for.
    pub(super) opened: Mutex<Vec<(String, i64)>>,
}

impl TalkingEngine {
    pub(super) fn new() -> Self {
        let (containers, opened) = (Mutex::default(), Mutex::default());
        Self { containers, changes: watch::Sender::new(0), is_away: Mutex::new(false), opened }
    }

    pub(super) fn set_state(&self, container: &str, state: ContainerState) {
        let mut containers = self.containers.lock().unwrap();
        let talker = containers.entry(container.to_owned());
        talker.or_insert_with(|| Talker { lines: Vec::new(), state: ContainerState::Created }).state = state;
        drop(containers);
        self.changes.send_modify(|_| {});
    }

    pub(super) fn run(&self, container: &str) {
        self.set_state(container, ContainerState::Running);
    }

    pub(super) fn exit(&self, container: &str) {
        self.set_state(container, ContainerState::Exited(ExitStatus { code: 0, out_of_memory: false }));
    }

    pub(super) fn say(&self, container: &str, nanos: i64, text: &str) {
        let line = ContainerLog { nanos, output: LogOutput::Stdout, text: text.to_owned() };
        self.containers.lock().unwrap().get_mut(container).unwrap().lines.push(line);
        self.changes.send_modify(|_| {});
    }

    pub(super) fn remove(&self, container: &str) {
        self.containers.lock().unwrap().remove(container);
        self.changes.send_modify(|_| {});
    }

    /// Breaks all streams and answers nothing until [`TalkingEngine::return_`].
    pub(super) fn go_away(&self) {
        *self.is_away.lock().unwrap() = true;
        self.changes.send_modify(|times| *times += 1);
    }

    pub(super) fn return_(&self) {
        *self.is_away.lock().unwrap() = false;
    }

    fn check(&self) -> Result<(), EngineError> {
        let away = || EngineError::Unreachable("connection refused".to_owned());
        if *self.is_away.lock().unwrap() { Err(away()) } else { Ok(()) }
    }

    /// The next line at or after `index` that is not older than `since`; `None` where nothing more will come.
    fn line(&self, container: &str, index: &mut usize, since: i64) -> Step {
        let containers = self.containers.lock().unwrap();
        let Some(talker) = containers.get(container) else { return Step::End };
        while let Some(line) = talker.lines.get(*index) {
            *index += 1;
            if line.nanos >= since * 1_000_000_000 {
                return Step::Line(line.clone());
            }
        }
        if talker.state == ContainerState::Running { Step::Wait } else { Step::End }
    }
}

enum Step {
    Line(ContainerLog),
    Wait,
    End,
}

/// A collector has no business with this.
fn refuse<T>() -> Result<T, EngineError> {
    Err(EngineError::Refused { action: "collecting logs".to_owned(), message: "not asked for".to_owned() })
}

/// [`TalkingEngine`] behind a handle, so that streams can outlive the borrow.
#[derive(Clone)]
pub(super) struct Handle(pub(super) std::sync::Arc<TalkingEngine>);

#[async_trait]
impl Engine for Handle {
    async fn container(&self, container: &str) -> Result<Container, EngineError> {
        self.0.check()?;
        let containers = self.0.containers.lock().unwrap();
        let found = containers.get(container).ok_or_else(|| EngineError::NotFound { what: container.to_owned() })?;
        let (id, name, state) = (container.to_owned(), container.to_owned(), found.state.clone());
        Ok(Container {
            id,
            name,
            state,
            labels: Labels::new(),
            ip: None,
            created_at: crate::model::Timestamp::now(),
            image_id: String::new(),
        })
    }
    fn logs(&self, container: &str, since: i64, follow: bool) -> BoxStream<'static, Result<ContainerLog, EngineError>> {
        let (engine, container) = (self.0.clone(), container.to_owned());
        engine.opened.lock().unwrap().push((container.clone(), since));
        if let Err(error) = engine.check() {
            return stream::once(async { Err(error) }).boxed();
        }
        let mut changes = engine.changes.subscribe();
        let born = *changes.borrow_and_update();
        let state = (engine, container, changes, 0, false);
        stream::unfold(state, move |(engine, container, mut changes, mut index, is_broken)| async move {
            loop {
                if is_broken {
                    return None;
                }
                if *changes.borrow_and_update() != born {
                    let error = EngineError::Unreachable("connection reset".to_owned());
                    return Some((Err(error), (engine, container, changes, index, true)));
                }
                match engine.line(&container, &mut index, since) {
                    Step::Line(line) => return Some((Ok(line), (engine, container, changes, index, false))),
                    Step::Wait if follow => changes.changed().await.ok()?,
                    Step::Wait | Step::End => return None,
                }
            }
        })
        .boxed()
    }
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        refuse()
    }
    async fn image(&self, _: &str) -> Result<Image, EngineError> {
        refuse()
    }
    async fn pull_image(&self, _: &str, _: Option<&RegistryLogin>, _: LineSink<'_>) -> Result<Image, EngineError> {
        refuse()
    }
    async fn build_image(&self, _: &ImageBuild, _: ByteStream, _: LineSink<'_>) -> Result<Image, EngineError> {
        refuse()
    }
    async fn import_image(&self, _: &str, _: ByteStream, _: &[String]) -> Result<Image, EngineError> {
        refuse()
    }
    async fn tag_image(&self, _: &str, _: &str) -> Result<(), EngineError> {
        refuse()
    }
    async fn remove_image(&self, _: &str) -> Result<(), EngineError> {
        refuse()
    }
    async fn images(&self, _: &Labels) -> Result<Vec<Image>, EngineError> {
        refuse()
    }
    async fn create_container(&self, _: &ContainerSpec) -> Result<String, EngineError> {
        refuse()
    }
    async fn upload(&self, _: &str, _: &str, _: ByteStream) -> Result<(), EngineError> {
        refuse()
    }
    async fn download(&self, _: &str, _: &str) -> Result<ByteStream, EngineError> {
        refuse()
    }
    async fn commit_container(&self, _: &str, _: &str, _: &Labels, _: &[String]) -> Result<Image, EngineError> {
        refuse()
    }
    async fn start_container(&self, _: &str) -> Result<(), EngineError> {
        refuse()
    }
    async fn stop_container(&self, _: &str, _: Duration) -> Result<(), EngineError> {
        refuse()
    }
    async fn remove_container(&self, _: &str) -> Result<(), EngineError> {
        refuse()
    }
    async fn attach(&self, _: &str) -> Result<BoxStream<'static, Result<bytes::Bytes, EngineError>>, EngineError> {
        refuse()
    }
    async fn exec(
        &self,
        _: &str,
        _: &[String],
        _: std::time::Duration,
    ) -> Result<crate::engine::Executed, EngineError> {
        refuse()
    }
    async fn wait_container(&self, _: &str) -> Result<ExitStatus, EngineError> {
        refuse()
    }
    async fn containers(&self, _: &Labels) -> Result<Vec<Container>, EngineError> {
        refuse()
    }
    async fn listening_ports(&self, _: &str) -> Result<Vec<ListeningPort>, EngineError> {
        refuse()
    }
    fn events(&self, _: &Labels) -> BoxStream<'static, Result<ContainerEvent, EngineError>> {
        stream::empty().boxed()
    }
    async fn ensure_network(&self, _: &str, _: &Labels) -> Result<(), EngineError> {
        refuse()
    }
    async fn remove_network(&self, _: &str) -> Result<(), EngineError> {
        refuse()
    }
    async fn networks(&self, _: &Labels) -> Result<Vec<String>, EngineError> {
        refuse()
    }
    async fn ensure_volume(&self, _: &str, _: &Labels) -> Result<(), EngineError> {
        refuse()
    }
    async fn remove_volume(&self, _: &str) -> Result<(), EngineError> {
        refuse()
    }
    async fn volumes(&self, _: &Labels) -> Result<Vec<crate::engine::Volume>, EngineError> {
        refuse()
    }
    async fn volume_sizes(&self) -> Result<std::collections::BTreeMap<String, u64>, EngineError> {
        refuse()
    }
    async fn written(&self, _: &Labels) -> Result<Vec<crate::engine::Written>, EngineError> {
        refuse()
    }
    async fn limit_image_builds(&self, _: &Resources) -> Result<Option<PathBuf>, EngineError> {
        refuse()
    }
}
