//! Builds by buildpacks: the tree goes into a builder container, what comes out is the slug.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;

use super::builder::{BuildRequest, Built, cache_volume, container_name, network_name};
use super::buildpack_list::Buildpacks;
use super::ca;
use super::foreign_buildpacks::ForeignBuildpack;
use super::output::{Phase, size, trouble};
use super::scratch::Scratch;
use super::slug::{Packed, SLUG_MTIME, pack};
use super::slugignore::{SLUGIGNORE, Slugignore};
use super::tree::{SLUG_UID, Tree};
use super::{BuildError, Builder, STACK_NAME, buildpacks, processes, undetected};
use crate::engine::{
    ByteStream, ContainerSpec, Engine, ExitStatus, LineSink, byte_stream, label, labels, small_archive,
};
use crate::git::SourceOptions;
use crate::model::{BuildKind, ConfigVars, Procfile, for_containers};

/// Exit status by which the builder says that no buildpack accepts the tree.
const NOT_DETECTED: i64 = 65;

/// Exit status of the builder when the buildpack's own programs fail, after their own words.
const COMPILE_FAILED: i64 = 66;

/// Size of the engine's own log of a builder container; the lines go to the person who pushed as they come.
const LOG_BYTES: u64 = 16 << 20;

/// How long the last lines may lag behind the end of the builder.
const LOG_LAG: Duration = Duration::from_secs(5);

/// A built tree may be this many times the largest slug before it is packed.
const RAW_FACTOR: u64 = 8;

impl Builder {
    pub(super) async fn build_slug(
        &self,
        request: &BuildRequest,
        buildpacks: &Buildpacks,
        foreign: &[ForeignBuildpack],
        procfile: Option<&Procfile>,
        on_line: LineSink<'_>,
    ) -> Result<Built, BuildError> {
        // All that can be refused without starting anything.
        let rules = self.source_file(&request.source, SLUGIGNORE).await?.unwrap_or_default();
        let rules = Slugignore::parse(&rules)?;
        self.stack_image_id(self.settings.stack.run_image()).await?;
        let container = self.builder_container(request, buildpacks).await?;
        self.fill(&container, request, foreign).await?;
        let app_type = self.compile(&container, request, on_line).await?;
        let tree = Arc::new(self.fetch(&container, rules).await?);
        drop(container);

        let (written, release) = (tree.procfile.as_deref(), tree.release.as_deref());
        let procfile = processes::discover(procfile, written, release, &app_type, on_line)?;
        let phase = Phase::begin(on_line, &format!("Laying the slug on {STACK_NAME}"));
        let target = self.target(request);
        // The engine takes the files as they are, while another processor compresses them.
        let laid = self.lay(&target, self.tree_tar(&tree));
        let (packed, image) = tokio::join!(self.pack(&tree), laid);
        let (packed, image) = match (packed, image) {
            (Ok(packed), Ok(image)) => (packed, image),
            (Err(error), Ok(_)) => {
                self.engine.remove_image(&target.reference).await?;
                return Err(error);
            }
            (_, Err(error)) => return Err(error),
        };
        let slug_size = size(packed.size_bytes);
        let slug = self.keep(packed).await?;
        phase.done();
        Phase::begin(on_line, &format!("Compiled slug size is {slug_size}"));
        Ok(Built {
            kind: BuildKind::Slug,
            engine_image: target.reference,
            slug: Some(slug),
            procfile,
            port: if let [port] = image.ports.as_slice() { Some(*port) } else { None },
        })
    }

    /// Creates the builder with the app's cache.
    async fn builder_container(&self, request: &BuildRequest, buildpacks: &Buildpacks) -> Result<Scratch, BuildError> {
        let cache = cache_volume(&request.app);
        if request.no_cache {
            self.engine.remove_volume(&cache).await?;
        }
        let app = request.app.id.to_string();
        self.engine.ensure_volume(&cache, &labels([(label::SERVER, &self.server_id), (label::APP, &app)])).await?;
        let mut spec = ContainerSpec {
            name: container_name(request.build_id, "compile"),
            command: Some(buildpacks.arguments()),
            env: [
                ("STACK", STACK_NAME),
                ("SOURCE_VERSION", request.source.commit()),
                ("REQUEST_ID", request.operation.as_str()),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            labels: self.container_labels(request.app.id, &request.operation),
            resources: self.resources(),
            // No other build, no app and not this server's API is reached from there.
            network: Some(network_name(&request.operation)),
            volumes: vec![(cache, "/cache".to_owned())],
            log_bytes: LOG_BYTES,
            ..ContainerSpec::default()
        };
        let bundle = self.ca_bundle().await?;
        if bundle.is_some() {
            spec.env.extend(ca::environment());
        }
        let stack = self.settings.stack.build_image();
        let container = self.container_on(request.errand(), stack, &request.runtimes, spec).await?;
        if let Some(bundle) = bundle {
            // Not as a mount: the engine may be on another machine, and the file readable by us only.
            let archive = bundle.archive().map_err(BuildError::io("packing the CA bundle"))?;
            self.engine.upload(container.id(), "/", byte_stream(archive)).await?;
        }
        Ok(container)
    }

    /// Puts buildpacks, config and source into the builder.
    async fn fill(
        &self,
        container: &Scratch,
        request: &BuildRequest,
        foreign: &[ForeignBuildpack],
    ) -> Result<(), BuildError> {
        let buildpacks = buildpacks::archive().map_err(BuildError::io("packing the buildpacks"))?;
        self.engine.upload(container.id(), "/buildpacks", byte_stream(buildpacks)).await?;
        for buildpack in foreign {
            self.engine.upload(container.id(), "/buildpacks", buildpack.archive()).await?;
        }
        let config = config_archive(&request.config).map_err(BuildError::io("packing the config"))?;
        self.engine.upload(container.id(), "/env", byte_stream(config)).await?;
        let options = SourceOptions { owner: SLUG_UID, mtime: Some(SLUG_MTIME.into()), below: None };
        let source = request.source.tar_stream(options, |_, _| true);
        Ok(self.engine.upload(container.id(), "/app", source).await?)
    }

    /// Runs the builder; yields what kind of app it found.
    async fn compile(
        &self,
        container: &Scratch,
        request: &BuildRequest,
        on_line: LineSink<'_>,
    ) -> Result<String, BuildError> {
        let app_type = Mutex::new(String::new());
        let watched = |line: &str| {
            if let Some(found) = line.strip_prefix("-----> ").and_then(|rest| rest.strip_suffix(" app detected")) {
                found.clone_into(&mut app_type.lock().expect("nothing panics while it is held"));
            }
            on_line(line);
        };
        self.engine.start_container(container.id()).await?;
        let status = follow(&*self.engine, container.id(), &watched).await?;
        match status.code {
            0 => Ok(app_type.into_inner().unwrap_or_default()),
            NOT_DETECTED => {
                let source = Arc::clone(&request.source);
                let paths = self.blocking("reading the repository", move || Ok(source.paths()?)).await?;
                Err(BuildError::Refused(undetected::refusal(&paths)))
            }
            code if status.out_of_memory || code == 137 => {
                Err(BuildError::OutOfMemory { limit_bytes: self.settings.memory_bytes })
            }
            code => Err(BuildError::Failed {
                stage: "The buildpack".into(),
                status: match code {
                    COMPILE_FAILED => "it cannot build this app".into(),
                    _ => format!("the builder ended with status {code}"),
                },
                hint: "The reason is said above. Fix it, commit and push again.".into(),
            }),
        }
    }

    /// Brings the built tree back.
    async fn fetch(&self, container: &Scratch, rules: Slugignore) -> Result<Tree, BuildError> {
        let archive = self.engine.download(container.id(), "/app").await?;
        let limit_bytes = self.settings.slug_bytes;
        let raw = self.spool(archive, limit_bytes).await?;
        self.blocking("reading the built tree", move || Tree::read(raw, &rules)).await
    }

    async fn pack(&self, tree: &Arc<Tree>) -> Result<Packed, BuildError> {
        let (tree, slugs, limit_bytes) = (Arc::clone(tree), self.slugs().clone(), self.settings.slug_bytes);
        self.blocking("packing the slug", move || {
            let file = slugs.spool().map_err(BuildError::io(format!("writing to {}", slugs.dir().display())))?;
            pack(&tree, file, limit_bytes)
        })
        .await
    }

    /// Writes the archive to an unnamed file, where it can be read in any order.
    pub(super) async fn spool(&self, mut archive: ByteStream, limit_bytes: u64) -> Result<File, BuildError> {
        let writing = || BuildError::io(format!("writing to {}", self.slugs().dir().display()));
        let file = tempfile::tempfile_in(self.slugs().dir()).map_err(writing())?;
        let mut file = tokio::fs::File::from_std(file);
        let mut left = limit_bytes.saturating_mul(RAW_FACTOR);
        while let Some(chunk) = archive.next().await {
            let chunk = chunk.map_err(BuildError::io("fetching the built tree"))?;
            left = left.checked_sub(chunk.len() as u64).ok_or(BuildError::SlugTooLarge { limit_bytes })?;
            file.write_all(&chunk).await.map_err(writing())?;
        }
        file.flush().await.map_err(writing())?;
        Ok(file.into_std().await)
    }

    /// Gives the slug its name; yields that.
    async fn keep(&self, packed: Packed) -> Result<String, BuildError> {
        let slugs = self.slugs().clone();
        self.blocking("keeping the slug", move || {
            let writing = BuildError::io(format!("writing to {}", slugs.dir().display()));
            slugs.keep(packed.file, &packed.digest).map_err(writing)?;
            Ok(packed.digest)
        })
        .await
    }
}

/// Passes on what a container says until it ends.
async fn follow(engine: &dyn Engine, container: &str, on_line: LineSink<'_>) -> Result<ExitStatus, BuildError> {
    let mut logs = engine.logs(container, 0, true);
    let lines = async {
        while let Some(line) = logs.next().await {
            match line {
                Ok(line) => on_line(&line.text),
                Err(error) => {
                    trouble(on_line, &format!("the rest of the output is lost: {error}"));
                    break;
                }
            }
        }
    };
    let wait = engine.wait_container(container);
    tokio::pin!(lines, wait);
    tokio::select! {
        status = &mut wait => {
            let status = status?;
            // The engine may be slow with the last lines; a build does not hang on them.
            let _ = tokio::time::timeout(LOG_LAG, lines).await;
            Ok(status)
        }
        () = &mut lines => Ok(wait.await?),
    }
}

/// One file per config var, for its owner only. Names that no shell takes as a variable stay out.
fn config_archive(config: &ConfigVars) -> std::io::Result<Vec<u8>> {
    let is_name = |name: &str| {
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        starts_well && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let files: Vec<(String, String)> = for_containers(config).filter(|(name, _)| is_name(name)).collect();
    small_archive(files.iter().map(|(name, value)| (Path::new(name), 0o600, value.as_bytes())), SLUG_UID)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ConfigValue;

    #[test]
    fn config_goes_into_files_that_only_the_build_reads() {
        let config: ConfigVars = [("A", "x y\n"), ("../B", "z"), ("1C", "z"), ("_D", "")]
            .map(|(name, value)| (name.to_owned(), ConfigValue::Text(value.to_owned())))
            .into();
        let archive = config_archive(&config).unwrap();
        let mut archive = tar::Archive::new(archive.as_slice());
        let files: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                (entry.path().unwrap().into_owned(), header.mode().unwrap(), header.uid().unwrap(), entry.size())
            })
            .collect();
        assert_eq!(files, [("A".into(), 0o600, 2000, 4), ("_D".into(), 0o600, 2000, 0)]);
    }
}
