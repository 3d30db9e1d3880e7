//! Builds by a Dockerfile.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt;

use super::builder::{BuildRequest, Built};
use super::ca::with_ca;
use super::dockerignore::{DOCKERIGNORE, Dockerignore};
use super::instructions::{declared_args, exposed_ports};
use super::output::{Phase, detail, size};
use super::plan::{DOCKERFILE, Dockerfile};
use super::{BuildError, Builder};
use crate::engine::{ByteStream, EngineError, ImageBuild, LineSink, Secrets, byte_stream, small_archive};
use crate::git::SourceOptions;
use crate::model::{BuildKind, ConfigVars, Procfile};

/// Build arguments that tell the commit, under the names that Heroku and Deis give it.
const COMMIT_ARGS: [&str; 2] = ["SOURCE_VERSION", "GIT_SHA"];

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
        let context = self.context(request, dockerfile).await?;
        let resources = self.resources();
        self.engine.limit_image_builds(&resources).await?;
        let target = self.target(request);
        let build = ImageBuild {
            tag: target.reference.clone(),
            dockerfile: dockerfile.path.clone(),
            target: dockerfile.target.clone(),
            args: build_args(dockerfile, &request.config, request.source.commit()),
            secrets: secrets(dockerfile, &request.config),
            labels: target.labels,
            resources,
            no_cache: request.no_cache,
        };
        let phase = Phase::begin(on_line, &title(dockerfile));
        let was_killed = AtomicBool::new(false);
        let indented = |line: &str| {
            was_killed.fetch_or(tells_of_a_kill(line), Ordering::Relaxed);
            detail(on_line, line);
        };
        let image = match self.engine.build_image(&build, context, &indented).await {
            Err(EngineError::BuildFailed(status)) => {
                return Err(self.failed(status, was_killed.into_inner()));
            }
            built => built?,
        };
        self.refuse_large(&target.reference, image.size_bytes).await?;
        phase.done();
        if let Some(procfile) = procfile {
            Phase::begin(on_line, "Discovering process types");
            detail(on_line, &format!("Procfile declares types -> {}", procfile.names()));
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

    /// The build context: the tree without what `.dockerignore` lists, and the Dockerfile as it is to be built.
    async fn context(&self, request: &BuildRequest, dockerfile: &Dockerfile) -> Result<ByteStream, BuildError> {
        // A Dockerfile may have rules of its own: <https://docs.docker.com/build/concepts/context/#filename-and-location>
        let own = format!("{}{DOCKERIGNORE}", dockerfile.path);
        let rules = match self.source_file(&request.source, &own).await? {
            Some(rules) => rules,
            None => self.source_file(&request.source, DOCKERIGNORE).await?.unwrap_or_default(),
        };
        let rules = Dockerignore::parse(&rules)
            .map_err(|error| BuildError::Refused(format!("{error}: correct it, commit and push again.")))?;
        let text = match self.ca_bundle().await? {
            Some(bundle) => with_ca(&dockerfile.text, &bundle.ensure_image(&*self.engine).await?),
            None => dockerfile.text.clone(),
        };
        let mut head = small_archive([(Path::new(&dockerfile.path), 0o644, text.as_bytes())], 0)
            .map_err(BuildError::io("packing the Dockerfile"))?;
        head.truncate(head.len() - TAR_END_BYTES);
        // The files that steer a build are always sent, as Docker does; the Dockerfile has been, just now.
        let sent = dockerfile.path.clone();
        let include = move |path: &str, _is_dir: bool| path != sent && (path == DOCKERIGNORE || !rules.excludes(path));
        let tree = request.source.tar_stream(SourceOptions::default(), include);
        Ok(Box::pin(byte_stream(head).chain(tree)))
    }

    fn failed(&self, status: String, was_killed: bool) -> BuildError {
        if was_killed || exit_code(&status) == Some(137) {
            return BuildError::OutOfMemory { limit_bytes: self.settings.memory_bytes };
        }
        let hint = if exit_code(&status).is_some() {
            "The output of the command that failed is above. Mend it, try it with 'docker build .', commit and push again."
        } else {
            "Correct the Dockerfile, try it with 'docker build .', commit and push again."
        };
        BuildError::Failed { stage: "The Dockerfile build".into(), status, hint: hint.into() }
    }
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
    let declared = declared_args(&dockerfile.text).into_iter().filter(|name| !dockerfile.secrets.contains(name));
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

/// The one port that the Dockerfile exposes; where it exposes none, the one that its base image does. A base's own port
/// stays declared beside it, so the image alone cannot tell which is meant.
fn port(dockerfile: &str, of_image: &[u16]) -> Option<u16> {
    let own: Vec<u16> = exposed_ports(dockerfile).into_iter().collect();
    if let [port] = if own.is_empty() { of_image } else { &own } { Some(*port) } else { None }
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
    fn one_declared_port_is_the_port_and_the_apps_own_wins_over_its_bases() {
        assert_eq!(port("FROM x", &[80]), Some(80));
        assert_eq!(port("FROM x", &[80, 443]), None);
        assert_eq!(port("FROM x", &[]), None);
        assert_eq!(port("FROM x\nEXPOSE 8000", &[5000, 8000]), Some(8000));
        assert_eq!(port("FROM x\nEXPOSE 1 2", &[1, 2]), None);
        assert_eq!(port("FROM x\nEXPOSE $P", &[9000]), Some(9000));
    }
}
