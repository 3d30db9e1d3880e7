//! The verbs.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::task::JoinSet;

use super::{Behaviour, Entry, Memory, collect, matches, missing, next_ip};
use crate::engine::{
    ByteStream, Container, ContainerEvent, ContainerLog, ContainerSpec, ContainerState, Engine, EngineError,
    EngineInfo, Executed, ExitStatus, Image, ImageBuild, Labels, LineSink, ListeningPort, RegistryLogin, Resources,
    Volume, Writer, Written, byte_stream, label,
};
use crate::model::Timestamp;

#[async_trait]
impl Engine for Memory {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        self.enter("info").await?;
        let world = self.world();
        Ok(EngineInfo {
            version: "20.10.24".to_owned(),
            api_version: "1.41".to_owned(),
            has_buildkit: true,
            cpus: 2,
            memory_bytes: 8 << 30,
            memory_available_bytes: world.memory_available,
            root_dir: "/nowhere".to_owned(),
            node_labels: world.node_labels.clone(),
        })
    }

    async fn image(&self, reference: &str) -> Result<Image, EngineError> {
        self.enter("image").await?;
        self.world().image(reference).map(|(image, _)| image.clone())
    }

    async fn pull_image(
        &self,
        reference: &str,
        _login: Option<&RegistryLogin>,
        _on_line: LineSink<'_>,
    ) -> Result<Image, EngineError> {
        self.enter("pull_image").await?;
        self.world().image(reference).map(|(image, _)| image.clone())
    }

    async fn build_image(
        &self,
        build: &ImageBuild,
        context: ByteStream,
        on_line: LineSink<'_>,
    ) -> Result<Image, EngineError> {
        collect(context).await?;
        on_line(&format!("Step [1/1] {}", build.dockerfile));
        self.enter("build_image").await?;
        Ok(self.world().put_image(&build.tag, Vec::new(), build.labels.clone(), Behaviour::default()))
    }

    async fn import_image(
        &self,
        reference: &str,
        rootfs: ByteStream,
        _changes: &[String],
    ) -> Result<Image, EngineError> {
        collect(rootfs).await?;
        self.enter("import_image").await?;
        Ok(self.world().put_image(reference, Vec::new(), Labels::new(), Behaviour::default()))
    }

    async fn tag_image(&self, reference: &str, new_reference: &str) -> Result<(), EngineError> {
        self.enter("tag_image").await?;
        let mut world = self.world();
        let (mut image, behaviour) = world.image(reference)?.clone();
        image.tags = vec![new_reference.to_owned()];
        world.images.insert(new_reference.to_owned(), (image, behaviour));
        Ok(())
    }

    async fn remove_image(&self, reference: &str) -> Result<(), EngineError> {
        self.enter("remove_image").await?;
        let mut world = self.world();
        if let Some(user) = world.containers.values().find(|entry| entry.spec.image == reference) {
            let message = format!("container {} uses it", user.spec.name);
            return Err(EngineError::InUse { what: format!("image {reference}"), message });
        }
        world.images.remove(reference);
        Ok(())
    }

    async fn images(&self, labels: &Labels) -> Result<Vec<Image>, EngineError> {
        self.enter("images").await?;
        let world = self.world();
        Ok(world.images.values().map(|(image, _)| image).filter(|it| matches(&it.labels, labels)).cloned().collect())
    }

    async fn create_container(&self, spec: &ContainerSpec) -> Result<String, EngineError> {
        self.enter("create_container").await?;
        let mut world = self.world();
        if let Ok(existing) = world.entry(&spec.name) {
            let instance = spec.labels.get(label::INSTANCE).filter(|id| !id.is_empty());
            if instance.is_some() && existing.spec.labels.get(label::INSTANCE) == instance {
                return Ok(existing.container.id.clone());
            }
            let message = format!("the name {} is taken", spec.name);
            return Err(EngineError::Refused { action: format!("creating container {}", spec.name), message });
        }
        let image_id = world.image(&spec.image)?.0.id.clone();
        world.next_id += 1;
        let id = format!("{:064x}", world.next_id);
        let container = Container {
            id: id.clone(),
            name: spec.name.clone(),
            state: ContainerState::Created,
            labels: spec.labels.clone(),
            ip: None,
            created_at: Timestamp::now(),
            image_id,
        };
        let entry = Entry {
            spec: spec.clone(),
            container,
            logs: Vec::new(),
            uploads: BTreeMap::new(),
            server: JoinSet::new(),
            listens: None,
            answer: Arc::new(Mutex::new((200, spec.name.clone()))),
        };
        world.containers.insert(id.clone(), entry);
        drop(world);
        self.leave("create_container")?;
        Ok(id)
    }

    async fn upload(&self, container: &str, path: &str, archive: ByteStream) -> Result<(), EngineError> {
        let bytes = collect(archive).await?;
        self.enter("upload").await?;
        self.world().entry(container)?.uploads.insert(path.to_owned(), bytes);
        Ok(())
    }

    async fn download(&self, container: &str, path: &str) -> Result<ByteStream, EngineError> {
        self.enter("download").await?;
        let mut world = self.world();
        let image = world.entry(container)?.spec.image.clone();
        if world.image(&image)?.1.files.iter().any(|file| file == path) {
            return Ok(byte_stream(Vec::new()));
        }
        let found = world.entry(container)?.uploads.get(path).cloned();
        found.map(byte_stream).ok_or_else(|| missing(path, &format!("in container {container}")))
    }

    async fn commit_container(
        &self,
        container: &str,
        reference: &str,
        labels: &Labels,
        _changes: &[String],
    ) -> Result<Image, EngineError> {
        self.enter("commit_container").await?;
        let mut world = self.world();
        let parent = world.entry(container)?.spec.image.clone();
        let (parent, behaviour) = world.image(&parent)?.clone();
        let mut all_labels = parent.labels;
        all_labels.extend(labels.clone());
        let made = world.put_image(reference, parent.ports, all_labels, behaviour);
        let (image, _) = world.images.get_mut(reference).expect("it was just put there");
        image.layers = [parent.layers, made.layers].concat();
        Ok(image.clone())
    }

    async fn start_container(&self, container: &str) -> Result<(), EngineError> {
        self.enter("start_container").await?;
        let ended = {
            let mut world = self.world();
            let spec = world.entry(container)?.spec.clone();
            if let Some(network) = spec.network.filter(|network| !world.networks.contains_key(network)) {
                return Err(missing("network", &network));
            }
            let (_, behaviour) = world.image(&spec.image)?.clone();
            let entry = world.entry(container)?;
            if entry.container.state == ContainerState::Running {
                return Ok(());
            }
            entry.container.state = ContainerState::Running;
            let ip = next_ip();
            entry.container.ip = Some(ip);
            if let Some(answer) = behaviour.answer {
                entry.answer = Arc::new(Mutex::new(answer));
            }
            behaviour.output.iter().for_each(|line| entry.say(line));
            match behaviour.exit {
                Some(status) => entry.end(status),
                None if behaviour.serves => entry.serve(ip),
                None => {}
            }
            let ended = behaviour.exit.is_some();
            let running = world.containers.values().filter(|it| it.container.state == ContainerState::Running).count();
            world.most_running = world.most_running.max(running);
            ended
        };
        self.tell(container, "start");
        if ended {
            self.tell(container, "die");
        }
        self.leave("start_container")
    }

    async fn stop_container(&self, container: &str, _grace: Duration) -> Result<(), EngineError> {
        self.enter("stop_container").await?;
        let stopped = match self.world().entry(container) {
            Ok(entry) if entry.container.state == ContainerState::Running => {
                entry.end(ExitStatus { code: 143, out_of_memory: false });
                true
            }
            _ => false,
        };
        if stopped {
            self.tell(container, "die");
        }
        self.leave("stop_container")
    }

    async fn remove_container(&self, container: &str) -> Result<(), EngineError> {
        self.enter("remove_container").await?;
        let Ok(id) = self.world().entry(container).map(|entry| entry.container.id.clone()) else { return Ok(()) };
        self.tell(&id, "destroy");
        self.world().containers.remove(&id);
        self.changes.send_replace(());
        self.leave("remove_container")
    }

    async fn attach(&self, container: &str) -> Result<BoxStream<'static, Result<Bytes, EngineError>>, EngineError> {
        self.enter("attach").await?;
        let mut events = self.events.subscribe();
        let mut world = self.world();
        let entry = world.entry(container)?;
        let (id, is_running) = (entry.container.id.clone(), entry.container.state == ContainerState::Running);
        let image = entry.spec.image.clone();
        // All a container says, it says when it starts.
        let said: Vec<String> = if is_running {
            Vec::new()
        } else {
            world.image(&image)?.1.output.iter().map(|line| format!("{line}\n")).collect()
        };
        let until_end = stream::once(async move {
            while let Ok(event) = events.recv().await {
                if event.container == id && event.action != "start" {
                    break;
                }
            }
            Ok(Bytes::new())
        });
        Ok(stream::iter(said).map(|line| Ok(Bytes::from(line))).chain(until_end).boxed())
    }

    async fn exec(&self, container: &str, _command: &[String], _limit: Duration) -> Result<Executed, EngineError> {
        self.enter("exec").await?;
        let mut world = self.world();
        let entry = world.entry(container)?;
        let image = entry.spec.image.clone();
        if entry.container.state != ContainerState::Running {
            let message = "the container is not running".to_owned();
            return Err(EngineError::Refused {
                action: format!("running a command in container {container}"),
                message,
            });
        }
        let executed = world.image(&image)?.1.executed.clone();
        Ok(executed.unwrap_or_else(|| Executed { status: 0, output: String::new() }))
    }

    async fn wait_container(&self, container: &str) -> Result<ExitStatus, EngineError> {
        self.enter("wait_container").await?;
        let mut changes = self.changes.subscribe();
        let mut was_there = false;
        loop {
            match self.world().entry(container).map(|entry| entry.container.state.clone()) {
                Ok(ContainerState::Exited(status)) => return Ok(status),
                Ok(ContainerState::Created) => return Ok(ExitStatus { code: 0, out_of_memory: false }),
                Ok(ContainerState::Running) => was_there = true,
                // Removing kills.
                Err(_) if was_there => return Ok(ExitStatus { code: 137, out_of_memory: false }),
                Err(error) => return Err(error),
            }
            changes.changed().await.expect("the sender is in self");
        }
    }

    async fn container(&self, container: &str) -> Result<Container, EngineError> {
        self.enter("container").await?;
        self.world().entry(container).map(|entry| entry.container.clone())
    }

    async fn containers(&self, labels: &Labels) -> Result<Vec<Container>, EngineError> {
        self.enter("containers").await?;
        Ok(self.containers_now().into_iter().filter(|it| matches(&it.labels, labels)).collect())
    }

    async fn listening_ports(&self, container: &str) -> Result<Vec<ListeningPort>, EngineError> {
        self.enter("listening_ports").await?;
        // As the container itself sees it.
        let everywhere = |at: SocketAddr| ListeningPort(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), at.port()));
        self.world().entry(container).map(|entry| entry.listens.map(everywhere).into_iter().collect())
    }

    fn logs(&self, container: &str, since: i64, follow: bool) -> BoxStream<'static, Result<ContainerLog, EngineError>> {
        // All a container says, it says when it starts; following only has to wait for the end.
        let found = self.world().entry(container).map(|entry| {
            let recent = entry.logs.iter().filter(|line| line.nanos >= since.saturating_mul(1_000_000_000));
            (recent.cloned().map(Ok).collect::<Vec<_>>(), entry.container.state == ContainerState::Running)
        });
        let (lines, runs) = match found {
            Ok(found) => found,
            Err(error) => (vec![Err(error)], false),
        };
        let said = stream::iter(lines);
        if !(follow && runs) {
            return said.boxed();
        }
        let end = self.events.subscribe();
        let id = self.world().entry(container).map(|entry| entry.container.id.clone()).unwrap_or_default();
        let until_end = stream::unfold(end, move |mut end| {
            let id = id.clone();
            async move {
                while let Ok(event) = end.recv().await {
                    if event.container == id && event.action != "start" {
                        break;
                    }
                }
                None
            }
        });
        said.chain(until_end).boxed()
    }

    fn events(&self, labels: &Labels) -> BoxStream<'static, Result<ContainerEvent, EngineError>> {
        let labels = labels.clone();
        let events = stream::unfold(self.events.subscribe(), |mut events| async move {
            events.recv().await.ok().map(|event| (event, events))
        });
        let told = move |event: ContainerEvent| {
            let is_wanted = matches(&event.labels, &labels);
            std::future::ready(match event.action == super::GONE {
                true => Some(Err(super::away())),
                false => is_wanted.then_some(Ok(event)),
            })
        };
        events.filter_map(told).boxed()
    }

    async fn ensure_network(&self, name: &str, labels: &Labels) -> Result<(), EngineError> {
        self.enter("ensure_network").await?;
        self.world().networks.entry(name.to_owned()).or_insert_with(|| labels.clone());
        Ok(())
    }

    async fn remove_network(&self, name: &str) -> Result<(), EngineError> {
        self.enter("remove_network").await?;
        let mut world = self.world();
        let is_used = |entry: &Entry| {
            entry.container.state == ContainerState::Running && entry.spec.network.as_deref() == Some(name)
        };
        if world.containers.values().any(is_used) {
            let message = "it has active endpoints".to_owned();
            return Err(EngineError::Refused { action: format!("removing network {name}"), message });
        }
        world.networks.remove(name);
        Ok(())
    }

    async fn networks(&self, labels: &Labels) -> Result<Vec<String>, EngineError> {
        self.enter("networks").await?;
        let world = self.world();
        Ok(world.networks.iter().filter(|(_, has)| matches(has, labels)).map(|(name, _)| name.clone()).collect())
    }

    async fn ensure_volume(&self, name: &str, labels: &Labels) -> Result<(), EngineError> {
        self.enter("ensure_volume").await?;
        self.world().volumes.entry(name.to_owned()).or_insert_with(|| labels.clone());
        Ok(())
    }

    async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        self.enter("remove_volume").await?;
        let mut world = self.world();
        if world.containers.values().any(|entry| entry.spec.volumes.iter().any(|(volume, _)| volume == name)) {
            let message = "volume is in use".to_owned();
            return Err(EngineError::InUse { what: format!("volume {name}"), message });
        }
        world.volumes.remove(name);
        Ok(())
    }

    async fn volumes(&self, labels: &Labels) -> Result<Vec<Volume>, EngineError> {
        self.enter("volumes").await?;
        let world = self.world();
        let matching = world.volumes.iter().filter(|(_, has)| matches(has, labels));
        Ok(matching.map(|(name, labels)| Volume { name: name.clone(), labels: labels.clone() }).collect())
    }

    async fn volume_sizes(&self) -> Result<BTreeMap<String, u64>, EngineError> {
        self.enter("volume_sizes").await?;
        Ok(self.world().volume_sizes.clone())
    }

    async fn written(&self, labels: &Labels) -> Result<Vec<Written>, EngineError> {
        self.enter("written").await?;
        let world = self.world();
        let ours = world.containers.values().filter(|entry| matches(&entry.container.labels, labels));
        let written = |entry: &Entry| Written {
            place: entry.container.id.clone(),
            writer: Writer::Container {
                labels: entry.container.labels.clone(),
                is_running: entry.container.state == ContainerState::Running,
            },
            bytes: world.written.get(&entry.container.name).copied().unwrap_or_default(),
        };
        Ok(ours.map(written).collect())
    }

    async fn limit_image_builds(&self, _resources: &Resources) -> Result<Option<PathBuf>, EngineError> {
        self.enter("limit_image_builds").await?;
        Ok(None)
    }
}
