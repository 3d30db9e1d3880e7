//! A private corner of the engine for one test: everything in it carries a random label and goes when the test ends.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::engine::docker::Docker;
use crate::engine::{ContainerSpec, Engine, EngineError, ExitStatus, Image, Labels, byte_stream, label};

/// Long enough for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Programs of this machine that the test image holds. Perl can listen, fork and eat memory without any module.
const PROGRAMS: [&str; 5] = ["/bin/sh", "/bin/sleep", "/bin/cat", "/bin/id", "/usr/bin/perl"];

pub(super) fn host() -> String {
    std::env::var("SLIPWAY_DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned())
}

pub(super) async fn connect() -> Docker {
    Docker::connect(&host()).await.expect("these tests need a Docker Engine")
}

pub(super) struct Corner {
    pub(super) docker: Docker,
    pub(super) id: String,
}

impl Corner {
    pub(super) async fn new() -> Self {
        Self { docker: connect().await, id: uuid::Uuid::new_v4().simple().to_string() }
    }

    pub(super) fn labels(&self) -> Labels {
        Labels::from([(label::SERVER.to_owned(), self.id.clone())])
    }

    /// A name that no other test has.
    pub(super) fn name(&self, name: &str) -> String {
        format!("test-{}-{name}", &self.id[..12])
    }

    /// Makes the small test image, with more Dockerfile-style changes.
    pub(super) async fn image(&self, changes: &[&str]) -> Image {
        let label = format!("LABEL {}={}", label::SERVER, self.id);
        let changes = changes.iter().map(|&change| change.to_owned()).chain([label]).collect::<Vec<_>>();
        let reference = self.name("image");
        self.docker.import_image(&reference, byte_stream(root_file_system(&self.id)), &changes).await.unwrap()
    }

    /// A container of the test image that runs `script` with sh.
    pub(super) fn spec(&self, name: &str, script: &str) -> ContainerSpec {
        ContainerSpec {
            name: self.name(name),
            image: self.name("image"),
            command: Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()]),
            labels: self.labels(),
            log_bytes: 1 << 20,
            ..ContainerSpec::default()
        }
    }

    pub(super) async fn start(&self, spec: &ContainerSpec) -> String {
        let id = self.docker.create_container(spec).await.unwrap();
        self.docker.start_container(&id).await.unwrap();
        id
    }

    /// Runs a container to its end and yields how it ended and what it said.
    pub(super) async fn run(&self, spec: &ContainerSpec) -> (ExitStatus, Vec<String>) {
        let id = self.start(spec).await;
        let status = within("the container ends", self.docker.wait_container(&id)).await.unwrap();
        (status, self.output(&id).await)
    }

    /// What a container has said so far.
    pub(super) async fn output(&self, container: &str) -> Vec<String> {
        use futures_util::TryStreamExt;
        let lines = self.docker.logs(container, 0, false).map_ok(|line| line.text);
        within("the output is read", lines.try_collect()).await.unwrap()
    }
}

impl Drop for Corner {
    fn drop(&mut self) {
        // A test may end inside a runtime, where nothing may block; a thread of our own may.
        let labels = self.labels();
        let sweeper = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(sweep(&labels))
        });
        let swept = sweeper.join().expect("the sweeper does not panic");
        if !std::thread::panicking() {
            swept.expect("the engine removes what the test made");
        }
    }
}

async fn sweep(labels: &Labels) -> Result<(), EngineError> {
    let docker = connect().await;
    for container in docker.containers(labels).await? {
        docker.remove_container(&container.id).await?;
    }
    for network in docker.networks(labels).await? {
        docker.remove_network(&network).await?;
    }
    for volume in docker.labelled_volumes(labels).await {
        docker.remove_volume(&volume).await?;
    }
    // Built images lie upon imported ones: newest first, and by name, so that each goes with its last one.
    for image in docker.images(labels).await? {
        for tag in image.tags.iter().chain(image.tags.is_empty().then_some(&image.id)) {
            docker.remove_image(tag).await?;
        }
    }
    Ok(())
}

impl Docker {
    async fn labelled_volumes(&self, labels: &Labels) -> Vec<String> {
        let filters = crate::engine::docker::label_filter(labels);
        let options = bollard::query_parameters::ListVolumesOptionsBuilder::default().filters(&filters).build();
        let volumes = self.client.list_volumes(Some(options)).await.unwrap().volumes.unwrap_or_default();
        volumes.into_iter().map(|volume| volume.name).collect()
    }
}

/// Awaits `future`, which says `what`, for as long as a test has patience.
pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain until {what}"))
}

/// Polls `probe` until it is content; it yields what it saw otherwise.
pub(super) async fn until<T, F: Future<Output = Result<T, String>>>(what: &str, mut probe: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(seen) if Instant::now() > deadline => panic!("waited in vain until {what}; last seen: {seen}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// A root file system of a few programs of this machine and the libraries they need. The `id` in it keeps the engine
/// from answering a build out of an earlier run's cache.
fn root_file_system(id: &str) -> Vec<u8> {
    let mut files = BTreeSet::new();
    for program in PROGRAMS {
        files.insert(PathBuf::from(program));
        let ldd = Command::new("ldd").arg(program).output().expect("ldd is part of the C library");
        let listing = String::from_utf8(ldd.stdout).unwrap();
        files.extend(listing.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
    }
    let mut archive = tar::Builder::new(Vec::new());
    for directory in ["tmp", "data", "etc"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o777);
        header.set_size(0);
        archive.append_data(&mut header, directory, std::io::empty()).unwrap();
    }
    for file in files {
        let contents = std::fs::read(&file).unwrap();
        append(&mut archive, file.strip_prefix("/").unwrap(), &contents);
    }
    append(&mut archive, Path::new("etc/id"), id.as_bytes());
    archive.into_inner().unwrap()
}

fn append(archive: &mut tar::Builder<Vec<u8>>, path: &Path, contents: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(contents.len() as u64);
    archive.append_data(&mut header, path, contents).unwrap();
}
