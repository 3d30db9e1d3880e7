//! Builds by a Dockerfile.

mod expand;
mod flags;
mod inside;
mod layout;
mod script;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt;

use self::inside::FOLDER;
use self::layout::{Additions, Layout};
use super::builder::{BuildRequest, Built, Handle, short};
use super::dockerignore::{DOCKERIGNORE, Dockerignore};
use super::fingerprint::cache_name;
use super::frontend::frontend;
use super::instructions::{HereDocuments, declared_args, exposed_ports};
use super::output::{Phase, detail, size};
use super::plan::{DOCKERFILE, Dockerfile};
use super::{BuildError, Builder};
use crate::engine::{
    ByteStream, EngineError, ImageBuild, Labels, LineSink, PullFailure, Secrets, byte_stream, registry_login,
    small_archive,
};
use crate::git::SourceOptions;
use crate::model::{BuildKind, ConfigVars, ImageReference, Procfile};

/// Build arguments that tell the commit, under the names that Heroku and Deis give it.
const COMMIT_ARGS: [&str; 2] = ["SOURCE_VERSION", "GIT_SHA"];

/// Build arguments that are switches of the builder itself begin so: none of a tenant's business.
const SWITCHES: &str = "BUILDKIT_";

/// Sets cache mounts of different apps apart (BuildKit's Dockerfile frontend).
const CACHE_NAMESPACE: &str = "BUILDKIT_CACHE_MOUNT_NS";

/// Repositories of the names that images have while something is built on them begin so. Each installation has its own: the
/// engine may serve several.
const BASES: &str = "slipway/build-base-";

/// Engine version whose built-in frontend knows here-documents.
const HERE_DOCUMENTS_SINCE: u32 = 23;

/// Ends a tar archive; what is before it can be followed by more entries.
const TAR_END_BYTES: usize = 1024;

impl Builder {
    pub(super) async fn build_dockerfile(
        &self,
        request: &BuildRequest,
        dockerfile: &Dockerfile,
        procfile: Option<&Procfile>,
        on_line: LineSink<'_>,
    ) -> Result<Built, BuildError> {
        let frontend = frontend(&dockerfile.path, &dockerfile.text, &request.config, &self.settings.frontends)?;
        let mut args = build_args(dockerfile, &request.config, request.source.commit());
        let layout = Layout::read(&dockerfile.path, &dockerfile.text, self.here_documents().await?, &args)?;
        let bases = self.bases(request, &layout, on_line).await?;
        let salt = format!("slipway-{}", cache_name(&self.settings.fingerprint_key, "layers", &request.app));
        let bundle = match self.ca_bundle().await? {
            Some(bundle) => Some(bundle.ensure_image(&*self.engine).await?),
            None => None,
        };
        let rules = self.rules(request, dockerfile).await?;
        // Instructions that come with a base look for the files where its author put them.
        let is_inside = rules.excludes(&dockerfile.path) && !bases.bring_instructions;
        let additions =
            Additions { names: &bases.names, salt: &salt, ca_image: bundle.as_deref(), frontend, is_inside };
        let context = self.context(request, dockerfile, &layout.write(&additions), rules, is_inside)?;
        args.insert(CACHE_NAMESPACE.into(), cache_name(&self.settings.fingerprint_key, "mounts", &request.app));
        let resources = self.resources();
        self.engine.limit_image_builds(&resources).await?;
        let target = self.target(request);
        let build = ImageBuild {
            tag: target.reference.clone(),
            dockerfile: dockerfile.path.clone(),
            target: dockerfile.target.clone(),
            args,
            secrets: secrets(dockerfile, &request.config),
            labels: target.labels,
            resources,
            no_cache: request.no_cache,
            mark: Some(self.mark(&request.app)),
        };
        let phase = Phase::begin(on_line, &title(dockerfile));
        let was_killed = AtomicBool::new(false);
        let indented = |line: &str| {
            was_killed.fetch_or(tells_of_a_kill(line), Ordering::Relaxed);
            if let Some(line) = bases.as_written(line, &salt, layout.stages()) {
                detail(on_line, &line);
            }
        };
        let built = self.engine.build_image(&build, context, &indented).await;
        let image = match built {
            Err(EngineError::BuildFailed(status)) => {
                let status = bases.as_written(&status, &salt, layout.stages()).unwrap_or(status);
                return Err(self.failed(status, was_killed.into_inner()));
            }
            built => built?,
        };
        self.refuse_large(&target.reference, image.size_bytes).await?;
        phase.done();
        if let Some(procfile) = procfile {
            Phase::begin(on_line, "Discovering process types");
            detail(on_line, &format!("Procfile declares types -> {}", procfile.names()));
            if let Some(entry) = image.entrypoint.first() {
                detail(
                    on_line,
                    &format!("The entry point ({entry}) runs for the image's own command only, none of these"),
                );
            }
        }
        Ok(Built {
            kind: BuildKind::Dockerfile,
            engine_image: target.reference,
            slug: None,
            procfile: procfile.cloned().unwrap_or_default(),
            port: port(&dockerfile.text, &image.ports),
        })
    }

    /// An image that is too large goes again.
    async fn refuse_large(&self, reference: &str, bytes: i64) -> Result<(), BuildError> {
        let (bytes, limit) = (bytes.unsigned_abs(), self.settings.image_bytes);
        if bytes <= limit {
            return Ok(());
        }
        self.engine.remove_image(reference).await?;
        Err(BuildError::ImageTooLarge { size: size(bytes), limit: size(limit) })
    }

    async fn here_documents(&self) -> Result<HereDocuments, BuildError> {
        let version = self.engine.info().await?.version;
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        let knows = major.is_some_and(|major| major >= HERE_DOCUMENTS_SINCE);
        Ok(if knows { HereDocuments::Known } else { HereDocuments::Unknown })
    }

    fn bases_repository(&self) -> String {
        let own: String = self.server_id.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
        format!("{BASES}{}", own.to_ascii_lowercase())
    }

    /// Takes away the names that builds of an earlier life gave to what they built on; for use before the first build starts.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn remove_base_names(&self) -> Result<(), EngineError> {
        let own = format!("{}:", self.bases_repository());
        let images = self.engine.images(&Labels::new()).await?;
        for name in images.iter().flat_map(|image| &image.tags).filter(|name| name.starts_with(&own)) {
            self.engine.remove_image(name).await?;
        }
        Ok(())
    }

    /// Fetches the images that a Dockerfile draws on, each under a name of this build's own, so that what was checked is what
    /// is used. The names go with the value.
    async fn bases(&self, request: &BuildRequest, layout: &Layout, on_line: LineSink<'_>) -> Result<Bases, BuildError> {
        let login = registry_login(&request.config).map_err(BuildError::Refused)?;
        let mut bases = Bases { builder: self.handle(), names: BTreeMap::new(), bring_instructions: false };
        let repository = self.bases_repository();
        for (number, reference) in layout.images().into_iter().enumerate() {
            let fresh = format!("{repository}:{}-{number}", short(request.build_id));
            let said = |line: &str| detail(on_line, &format!("{reference}: {line}"));
            let image = self.images.base(request.app.id, reference, login.as_ref(), &fresh, &said).await;
            let image = image.map_err(|error| not_had(reference, error))?;
            // The name is part of what the engine's cache goes by, so an image has the same one in each build.
            let name = format!("{repository}:{}", image.id.trim_start_matches("sha256:"));
            bases.builder.hold(&image.id, &name).await?;
            bases.names.insert(reference.clone(), name);
            self.engine.remove_image(&fresh).await?;
            bases.bring_instructions |= !image.triggers.is_empty();
            if let Some(problem) = image.triggers.iter().find_map(|trigger| layout.check_trigger(trigger).err()) {
                return Err(BuildError::Refused(format!("Image {reference} brings an instruction along: {problem}.")));
            }
        }
        Ok(bases)
    }

    /// What of the tree stays out of the build's files.
    async fn rules(&self, request: &BuildRequest, dockerfile: &Dockerfile) -> Result<Dockerignore, BuildError> {
        // A Dockerfile may have rules of its own: <https://docs.docker.com/build/concepts/context/#filename-and-location>
        let own = format!("{}{DOCKERIGNORE}", dockerfile.path);
        let rules = match self.source_file(&request.source, &own).await? {
            Some(rules) => rules,
            None => self.source_file(&request.source, DOCKERIGNORE).await?.unwrap_or_default(),
        };
        Dockerignore::parse(&rules)
            .map_err(|error| BuildError::Refused(format!("{error}: correct it, commit and push again.")))
    }

    /// The build context: the Dockerfile as it is to be built, and the build's files. Those lie in a folder of their own
    /// where the Dockerfile is to be none of them.
    fn context(
        &self,
        request: &BuildRequest,
        dockerfile: &Dockerfile,
        text: &str,
        rules: Dockerignore,
        is_inside: bool,
    ) -> Result<ByteStream, BuildError> {
        let mut head = small_archive([(Path::new(&dockerfile.path), 0o644, text.as_bytes())], 0)
            .map_err(BuildError::io("packing the Dockerfile"))?;
        head.truncate(head.len() - TAR_END_BYTES);
        // The Dockerfile has been sent just now.
        let sent = (!is_inside).then(|| dockerfile.path.clone());
        let include = move |path: &str, _is_dir: bool| Some(path) != sent.as_deref() && !rules.excludes(path);
        let options = SourceOptions { below: is_inside.then(|| FOLDER.to_owned()), ..SourceOptions::default() };
        let tree = request.source.tar_stream(options, include);
        Ok(Box::pin(byte_stream(head).chain(tree)))
    }

    fn failed(&self, status: String, was_killed: bool) -> BuildError {
        if was_killed || exit_code(&status) == Some(137) {
            return BuildError::OutOfMemory { limit_bytes: self.settings.memory_bytes };
        }
        let hint = if exit_code(&status).is_some() {
            "The output of the command that failed is above. Fix it, try it with 'docker build .', commit and push again."
        } else {
            "Correct the Dockerfile, try it with 'docker build .', commit and push again."
        };
        BuildError::Failed { stage: "The Dockerfile build".into(), status, hint: hint.into() }
    }
}

/// Names that images have for one build. Dropped, they go.
struct Bases {
    builder: Handle,
    names: BTreeMap<ImageReference, String>,
    /// Whether one of them has instructions for what is built on it.
    bring_instructions: bool,
}

impl Bases {
    /// A line of the builder's with the names that the author wrote; `None` for what was put in beside that.
    fn as_written(&self, line: &str, salt: &str, stages: usize) -> Option<String> {
        if line.contains(salt) {
            return None;
        }
        let mut text = line.replace(&format!("{FOLDER}/"), "");
        for (reference, name) in &self.names {
            text = text.replace(&format!("docker.io/{name}"), &reference.to_string());
            text = text.replace(name.as_str(), &reference.to_string());
        }
        // One stage was put before the author's own.
        if let Some((before, (number, after))) =
            text.split_once("[stage-").and_then(|(before, rest)| Some((before, rest.split_once(' ')?)))
            && let Ok(number) = number.parse::<usize>()
            && number > 0
        {
            let stage = if stages > 1 { format!("stage-{} ", number - 1) } else { String::new() };
            text = format!("{before}[{stage}{after}");
        }
        Some(text)
    }
}

impl Drop for Bases {
    fn drop(&mut self) {
        let (builder, names) = (self.builder.clone(), std::mem::take(&mut self.names));
        self.builder.tasks.spawn(async move {
            for name in names.into_values() {
                builder.release(&name).await;
            }
        });
    }
}

/// Why an image to build on cannot be had, for the person who pushed.
fn not_had(reference: &ImageReference, error: EngineError) -> BuildError {
    let advice = match &error {
        EngineError::NotFound { .. } => {
            "it is not on this server, or not yours to use: name an image of a registry, or one that its administrator provides"
        }
        EngineError::PullFailed { failure: PullFailure::Denied, .. } => {
            "set SLIPWAY_REGISTRY_USERNAME and SLIPWAY_REGISTRY_PASSWORD to a login that may pull it"
        }
        EngineError::PullFailed { .. } => "correct its name, or try again later",
        _ => return error.into(),
    };
    let cause = if matches!(error, EngineError::NotFound { .. }) { String::new() } else { format!("{error}; ") };
    BuildError::Refused(format!("The Dockerfile builds on {reference}: {cause}{advice}, then push again."))
}

/// `Building image with the Dockerfile`, or with another file, up to another stage.
fn title(dockerfile: &Dockerfile) -> String {
    let file = if dockerfile.path == DOCKERFILE { "the Dockerfile" } else { &dockerfile.path };
    match &dockerfile.target {
        Some(target) => format!("Building image with {file}, stage {target}"),
        None => format!("Building image with {file}"),
    }
}

/// The build arguments: config values, and the commit, under the names that the Dockerfile declares with `ARG`.
///
/// Secrets and others stay out: an argument that nobody declares fails classic builds, and each one is visible in the image's
/// history.
pub(super) fn build_args(dockerfile: &Dockerfile, config: &ConfigVars, commit: &str) -> BTreeMap<String, String> {
    let value = |name: &str| match config.get(name) {
        Some(value) => Some(value.to_string()),
        None => COMMIT_ARGS.contains(&name).then(|| commit.to_owned()),
    };
    let declared = declared_args(&dockerfile.text).into_iter();
    let declared = declared.filter(|name| !dockerfile.secrets.contains(name) && !name.starts_with(SWITCHES));
    declared.filter_map(|name| value(&name).map(|value| (name, value))).collect()
}

/// The config vars that the build may read as secrets. One that the app does not have is missing in the build, too, which
/// says so where it is needed.
fn secrets(dockerfile: &Dockerfile, config: &ConfigVars) -> Secrets {
    let value = |name: &String| Some((name.clone(), config.get(name)?.to_string()));
    Secrets(dockerfile.secrets.iter().filter_map(value).collect())
}

/// The status of the failed command in the words of either builder.
fn exit_code(status: &str) -> Option<i64> {
    let mark = ["exit code: ", "non-zero code: "].into_iter().find_map(|mark| status.rsplit_once(mark));
    mark?.1.trim().parse().ok()
}

/// Whether a shell or compiler says that a process of its own was killed. The build's memory limit is the one thing that
/// kills there; the command around it may well end with another status than 137.
fn tells_of_a_kill(line: &str) -> bool {
    let line = line.trim_end();
    line == "Killed" || line.ends_with(" Killed") || line.contains("Killed signal terminated program")
}

/// The lowest port that the Dockerfile exposes; where it exposes none, the lowest that its base image does. A base's own
/// ports stay declared beside it, so the image alone cannot tell which are meant.
fn port(dockerfile: &str, of_image: &[u16]) -> Option<u16> {
    exposed_ports(dockerfile).first().or(of_image.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ConfigValue;

    #[test]
    fn only_declared_config_becomes_an_argument() {
        let config: ConfigVars =
            [("A", "1"), ("B", "2"), ("TOKEN", "s")].map(|(k, v)| (k.into(), ConfigValue::Text(v.into()))).into();
        let args = |dockerfile: &str| {
            let dockerfile = Dockerfile {
                path: DOCKERFILE.to_owned(),
                text: dockerfile.to_owned(),
                target: None,
                secrets: vec!["TOKEN".to_owned()],
            };
            assert_eq!(secrets(&dockerfile, &config).0, [("TOKEN".to_owned(), "s".to_owned())].into());
            let args = build_args(&dockerfile, &config, "c0ffee");
            args.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(args("FROM x\nARG A\nARG OTHER\nARG B=9\n"), ["A=1", "B=2"]);
        assert_eq!(args("ARG GIT_SHA\nFROM x\nARG SOURCE_VERSION=none"), ["GIT_SHA=c0ffee", "SOURCE_VERSION=c0ffee"]);
        assert_eq!(args("FROM x\nENV TOKEN=1\nARG TOKEN\n"), Vec::<String>::new(), "a secret is no argument");
    }

    #[test]
    fn builders_tell_how_a_command_ended() {
        assert_eq!(exit_code("executor failed running [/bin/sh -c false]: exit code: 1"), Some(1));
        assert_eq!(exit_code("The command '/bin/sh -c x' returned a non-zero code: 137"), Some(137));
        assert_eq!(exit_code("dockerfile parse error line 2: unknown instruction: RUNN"), None);
        assert!(tells_of_a_kill("/bin/sh: line 1:    12 Killed"));
        assert!(tells_of_a_kill("c++: fatal error: Killed signal terminated program cc1plus"));
        assert!(!tells_of_a_kill("Killed 3 bugs"));
    }

    #[test]
    fn the_lowest_declared_port_is_the_port_and_the_apps_own_wins_over_its_bases() {
        assert_eq!(port("FROM x", &[80]), Some(80));
        assert_eq!(port("FROM x", &[80, 443]), Some(80));
        assert_eq!(port("FROM x", &[]), None);
        assert_eq!(port("FROM x\nEXPOSE 8000", &[5000, 8000]), Some(8000));
        assert_eq!(port("FROM x\nEXPOSE 8443 8080", &[80, 8080, 8443]), Some(8080));
        assert_eq!(port("FROM x\nEXPOSE $P", &[9000]), Some(9000));
    }
}
