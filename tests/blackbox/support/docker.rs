//! The engine as an operator sees it: what Slipway really made there.

use std::collections::{BTreeSet, HashMap};
use std::io::{Seek, Write};
use std::net::IpAddr;
use std::pin::pin;

use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, NetworkingConfig, VolumeCreateRequest,
};
use bollard::query_parameters::{
    BuildImageOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    ListImagesOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveImageOptionsBuilder, RemoveVolumeOptionsBuilder, RenameContainerOptionsBuilder, TagImageOptionsBuilder,
};
use futures_util::TryStreamExt;

use super::repo::fixture_dir;

/// The label by which a server knows its own.
pub const SERVER: &str = "io.slipway.server";
const APP_NAME: &str = "io.slipway.app-name";
const INSTANCE: &str = "io.slipway.instance";
const OPERATION: &str = "io.slipway.operation";

/// A connection to the engine.
pub struct Docker {
    client: bollard::Docker,
}

/// A container, running or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Engine id.
    pub id: String,
    /// Instance id; empty for a container of a build.
    pub instance: String,
    /// `web`
    pub process: String,
    /// `v2`
    pub release: String,
    /// Content id of its image.
    pub image: String,
    pub is_running: bool,
    pub ip: Option<IpAddr>,
    /// Its first process on this machine.
    pub pid: i64,
    /// `NAME=value`
    pub env: Vec<String>,
    /// Hard memory limit in bytes.
    pub memory: i64,
}

/// Engine objects of one server, by kind.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Objects {
    pub containers: Vec<String>,
    pub images: Vec<String>,
    pub networks: Vec<String>,
    pub volumes: Vec<String>,
}

impl Docker {
    /// Connects to the machine's engine.
    pub async fn connect() -> Result<Self, String> {
        Self::connect_to(&machine_engine()).await
    }

    /// Connects to the engine at `unix:///path`.
    pub async fn connect_to(host: &str) -> Result<Self, String> {
        let client = bollard::Docker::connect_with_unix(host, 120, bollard::API_DEFAULT_VERSION);
        let client = client.map_err(|error| format!("{host}: {error}"))?;
        let client = client.negotiate_version().await.map_err(|error| format!("{host}: {error}"))?;
        Ok(Self { client })
    }

    /// Whether an image of that name is there.
    pub async fn has_image(&self, reference: &str) -> bool {
        self.client.inspect_image(reference).await.is_ok()
    }

    /// Labels of an image.
    pub async fn image_labels(&self, reference: &str) -> HashMap<String, String> {
        let image = self.client.inspect_image(reference).await.expect("the image is there");
        image.config.and_then(|config| config.labels).unwrap_or_default()
    }

    /// Containers of an app's instances.
    pub async fn instances(&self, server: &str, app: &str) -> Vec<Container> {
        let app = format!("{APP_NAME}={app}");
        let mut found = self.containers(&[&format!("{SERVER}={server}"), &app]).await;
        found.retain(|container| !container.instance.is_empty());
        found
    }

    /// Containers with all of these labels (`name=value`, or `name` for any value).
    pub async fn containers(&self, labels: &[&str]) -> Vec<Container> {
        let options = ListContainersOptionsBuilder::default().all(true).filters(&by_label(labels)).build();
        let listed = self.client.list_containers(Some(options)).await.expect("the engine lists containers");
        let mut found = Vec::new();
        for summary in listed {
            let id = summary.id.unwrap_or_default();
            match self.client.inspect_container(&id, None::<InspectContainerOptions>).await {
                Ok(inspected) => found.push(container(inspected)),
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
                Err(error) => panic!("the engine cannot say what container {id} is: {error}"),
            }
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found
    }

    /// Containers of builds of a server that are there now.
    pub async fn build_containers(&self, server: &str) -> Vec<Container> {
        let mut found = self.containers(&[&format!("{SERVER}={server}"), OPERATION]).await;
        found.retain(|container| container.instance.is_empty());
        found
    }

    /// `docker kill`
    pub async fn kill(&self, container: &str) {
        let options = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
        self.client.kill_container(container, Some(options)).await.expect("a running container can be killed");
    }

    /// `docker rename`
    pub async fn rename(&self, container: &str, name: &str) {
        let options = RenameContainerOptionsBuilder::default().name(name).build();
        self.client.rename_container(container, options).await.expect("the name is free");
    }

    /// `docker rm -f -v`
    pub async fn remove(&self, container: &str) {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        gone(self.client.remove_container(container, Some(options)).await);
    }

    /// `docker run -d --network NETWORK IMAGE sleep 1000`; yields the container's id.
    pub async fn run_foreign(&self, image: &str, network: &str) -> String {
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            entrypoint: Some(vec!["sleep".to_owned()]),
            cmd: Some(vec!["1000".to_owned()]),
            host_config: Some(HostConfig { network_mode: Some(network.to_owned()), ..HostConfig::default() }),
            ..ContainerCreateBody::default()
        };
        let id = self.client.create_container(None, body).await.expect("the engine creates a container").id;
        self.client.start_container(&id, None).await.expect("it starts");
        id
    }

    /// `docker run -d --network NETWORK --ip IP -e ... IMAGE`; yields the container's id. Fails while another container has
    /// the address.
    pub async fn try_run_at(&self, image: &str, network: &str, ip: IpAddr, env: &[&str]) -> Result<String, String> {
        let ipam = EndpointIpamConfig { ipv4_address: Some(ip.to_string()), ..EndpointIpamConfig::default() };
        let endpoint = EndpointSettings { ipam_config: Some(ipam), ..EndpointSettings::default() };
        let endpoints_config = Some(HashMap::from([(network.to_owned(), endpoint)]));
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            env: Some(env.iter().map(|&variable| variable.to_owned()).collect()),
            networking_config: Some(NetworkingConfig { endpoints_config }),
            ..ContainerCreateBody::default()
        };
        let id = self.client.create_container(None, body).await.expect("the engine creates a container").id;
        match self.client.start_container(&id, None).await {
            Ok(()) => Ok(id),
            Err(error) => {
                self.remove(&id).await;
                Err(error.to_string())
            }
        }
    }

    /// `docker exec`; yields what it wrote to both outputs.
    pub async fn exec(&self, container: &str, command: &[&str]) -> String {
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
            ..CreateExecOptions::default()
        };
        let made = self.client.create_exec(container, options).await.expect("the engine takes a command");
        let started = self.client.start_exec(&made.id, None).await.expect("it starts");
        let StartExecResults::Attached { output, .. } = started else { panic!("it was started attached") };
        let lines: Vec<_> = output.try_collect().await.expect("the engine tells what it says");
        lines.iter().map(ToString::to_string).collect()
    }

    /// Builds an image from a sample app by the engine alone, as if it came from elsewhere.
    pub async fn build_fixture(&self, fixture: &str, tag: &str) {
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_dir_all(".", fixture_dir(fixture)).expect("a fixture can be packed");
        self.build_archive(archive, tag).await;
    }

    /// Builds an image from a Dockerfile alone.
    pub async fn build_dockerfile(&self, dockerfile: &str, tag: &str) {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(dockerfile.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, "Dockerfile", dockerfile.as_bytes()).expect("memory takes it");
        self.build_archive(archive, tag).await;
    }

    async fn build_archive(&self, archive: tar::Builder<Vec<u8>>, tag: &str) {
        let context = bollard::body_full(archive.into_inner().expect("memory takes it").into());
        let options = BuildImageOptionsBuilder::default().t(tag).build();
        let built: Vec<_> =
            self.client.build_image(options, None, Some(context)).try_collect().await.expect("the engine builds it");
        assert!(self.has_image(tag).await, "{built:?}");
    }

    /// Which files of a saved image (`docker save`: every layer, the configuration with its history) hold `text`, looked at
    /// as they are, since layers are saved without compression. The large layers are those of the stack, which was there
    /// before anything that a test may look for.
    pub async fn layers_with(&self, image: &str, text: &str) -> Vec<String> {
        const LARGE: u64 = 16 << 20;
        let mut saved = tempfile::tempfile().expect("a file can be made");
        let mut chunks = pin!(self.client.export_image(image));
        while let Some(chunk) = chunks.try_next().await.expect("the engine saves it") {
            saved.write_all(&chunk).expect("there is room for it");
        }
        saved.rewind().expect("it is a file");
        let mut archive = tar::Archive::new(saved);
        let holds = |contents: &[u8]| contents.windows(text.len()).any(|window| window == text.as_bytes());
        let (mut found, mut looked_at) = (Vec::new(), 0);
        for entry in archive.entries().expect("it is an archive") {
            let mut entry = entry.expect("it is whole");
            if entry.size() > LARGE {
                continue;
            }
            let path = entry.path().expect("it has a path").display().to_string();
            let mut contents = Vec::new();
            std::io::copy(&mut entry, &mut contents).expect("memory takes it");
            looked_at += contents.len();
            if holds(&contents) {
                found.push(path);
            }
        }
        assert!(looked_at > 0, "nothing was looked at");
        found
    }

    /// The connection itself.
    pub fn client(&self) -> &bollard::Docker {
        &self.client
    }

    /// `docker tag`
    pub async fn tag(&self, reference: &str, repository: &str, tag: &str) {
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        self.client.tag_image(reference, Some(options)).await.expect("the engine names an image");
    }

    /// `docker volume create`
    pub async fn create_volume(&self, name: &str) {
        let request = VolumeCreateRequest { name: Some(name.to_owned()), ..VolumeCreateRequest::default() };
        self.client.create_volume(request).await.expect("the engine makes a volume");
    }

    /// Whether a volume of that name is there.
    pub async fn has_volume(&self, name: &str) -> bool {
        self.client.inspect_volume(name).await.is_ok()
    }

    /// `docker volume rm`
    pub async fn remove_volume(&self, name: &str) {
        let options = RemoveVolumeOptionsBuilder::default().build();
        gone(self.client.remove_volume(name, Some(options)).await);
    }

    /// Removes an image by name.
    pub async fn remove_image(&self, reference: &str) {
        let options = RemoveImageOptionsBuilder::default().force(true).build();
        gone(self.client.remove_image(reference, Some(options), None).await.map(drop));
    }

    /// Names of the images that carry a label (`name=value`); the content id of one that has no name.
    pub async fn image_names(&self, label: &str) -> BTreeSet<String> {
        let options = ListImagesOptionsBuilder::default().filters(&by_label(&[label])).build();
        let images = self.client.list_images(Some(options)).await.expect("the engine lists images");
        let names = images.into_iter().flat_map(|image| {
            let is_named = image.repo_tags.iter().any(|name| !name.starts_with("<none>"));
            if is_named { image.repo_tags } else { vec![image.id] }
        });
        names.collect()
    }

    /// Everything that carries these labels.
    pub async fn objects(&self, labels: &[&str]) -> Objects {
        let filter = by_label(labels);
        let images = ListImagesOptionsBuilder::default().filters(&filter).build();
        let networks = ListNetworksOptionsBuilder::default().filters(&filter).build();
        let volumes = ListVolumesOptionsBuilder::default().filters(&filter).build();
        let images = self.client.list_images(Some(images)).await.expect("the engine lists images");
        let networks = self.client.list_networks(Some(networks)).await.expect("the engine lists networks");
        let volumes = self.client.list_volumes(Some(volumes)).await.expect("the engine lists volumes");
        Objects {
            containers: self.containers(labels).await.into_iter().map(|container| container.id).collect(),
            images: images.into_iter().map(|image| image.id).collect(),
            networks: networks.into_iter().filter_map(|network| network.name).collect(),
            volumes: volumes.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect(),
        }
    }

    /// Removes everything of one server.
    pub async fn wipe(&self, server: &str) {
        let objects = self.objects(&[&format!("{SERVER}={server}")]).await;
        for container in &objects.containers {
            self.remove(container).await;
        }
        for image in &objects.images {
            self.remove_image(image).await;
        }
        for network in &objects.networks {
            gone(self.client.remove_network(network).await);
        }
        for volume in &objects.volumes {
            let options = RemoveVolumeOptionsBuilder::default().force(true).build();
            gone(self.client.remove_volume(volume, Some(options)).await);
        }
    }
}

/// Where the machine's engine answers.
pub fn machine_engine() -> String {
    std::env::var("SLIPWAY_DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned())
}

/// Clean-up goes on over what somebody else removed meanwhile, and says what it could not remove.
fn gone(removed: Result<(), Error>) {
    match removed {
        Ok(()) | Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => {}
        Err(error) => eprintln!("cleaning up: {error}"),
    }
}

fn by_label(labels: &[&str]) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), labels.iter().map(|label| (*label).to_owned()).collect())])
}

fn container(found: bollard::models::ContainerInspectResponse) -> Container {
    let config = found.config.unwrap_or_default();
    let labels = config.labels.unwrap_or_default();
    let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
    let state = found.state.unwrap_or_default();
    let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    Container {
        id: found.id.unwrap_or_default(),
        instance: label(INSTANCE),
        process: label("io.slipway.process"),
        release: label("io.slipway.release"),
        image: found.image.unwrap_or_default(),
        is_running: state.running.unwrap_or_default(),
        ip: networks.into_values().find_map(|network| network.ip_address.and_then(|ip| ip.parse().ok())),
        pid: state.pid.unwrap_or_default(),
        env: config.env.unwrap_or_default(),
        memory: found.host_config.and_then(|host| host.memory).unwrap_or_default(),
    }
}
