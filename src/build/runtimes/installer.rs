//! Who fetches runtimes: mise, in a container that has nothing of any app, neither files nor config nor cache.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use futures_util::StreamExt;
use regex::Regex;
use sha2::{Digest, Sha256};

use super::Tool;
use super::version::Version;
use crate::build::builder::container_name;
use crate::build::scratch::Scratch;
use crate::build::{BuildError, Builder};
use crate::engine::{BUILD_NETWORK, ContainerSpec, EngineError, LogOutput, byte_stream, labels};
use crate::model::{AppId, BuildId, OperationId};

/// What runs in the container.
const PROGRAM: &str = include_str!("installer");

/// The tool: one program, which knows all languages, where they are published and how each is checked.
const MISE: &str = "@jdxcode/mise-linux-x64@2026.9.15";

/// SHA-512 of that package.
const MISE_SHA512: &str = "06eb4f146cb3b4dd1193f1ce1ef1ee7fe5bcd0292f4110236c3587be11897373\
     e72f77b62a10986483b28f1f303e486bf5525affbb09657a71b6de492e3b1f69";

/// Names of images that the stack has with runtimes begin so; also that of the installer.
pub const RUNTIME_IMAGE_PREFIX: &str = "slipway/runtimes:";

/// Label of the installer: the stack's image that it was made on.
const INSTALLER: &str = "io.slipway.installer";

/// Most lines that are read of an installer.
const LINES_MAX: usize = 50_000;

const LOG_BYTES: u64 = 16 << 20;

/// Most characters of a reason.
const REASON_CHARS: usize = 300;

/// For whom something is fetched, and what has to end before it may be left behind.
#[derive(Clone, Copy)]
pub(in crate::build) struct Errand<'a> {
    pub app: AppId,
    pub build: BuildId,
    pub operation: &'a OperationId,
}

/// What an installer printed, or its reason for having failed.
type Printed = Result<Vec<String>, String>;

impl Builder {
    /// The versions of a language that its publisher, or the mirror, has. The inner error is why nobody says so.
    pub(super) async fn versions_there(
        &self,
        errand: Errand<'_>,
        tool: Tool,
    ) -> Result<Result<Vec<Version>, String>, BuildError> {
        let printed = self.installer(errand, &["list", tool.name()], tool).await?;
        Ok(printed.map(|(_, lines)| lines.iter().filter_map(|line| Version::parse(line.trim())).collect()))
    }

    /// Runs the installer with these arguments; gives the container as it is then, and what was printed. The inner error is the
    /// installer's reason for having failed.
    pub(super) async fn installer(
        &self,
        errand: Errand<'_>,
        arguments: &[&str],
        tool: Tool,
    ) -> Result<Result<(Scratch, Vec<String>), String>, BuildError> {
        let image = match self.installer_image(errand).await? {
            Ok(image) => image,
            Err(reason) => return Ok(Err(reason)),
        };
        let container = self.installer_container(errand, image, arguments, self.mirrors(tool)).await?;
        Ok(self.printed(&container).await?.map(|printed| (container, printed)))
    }

    /// The image with mise, made when it is needed first; the inner error is why it cannot be had.
    async fn installer_image(&self, errand: Errand<'_>) -> Result<Result<String, String>, BuildError> {
        let stack = self.stack_image_id(self.settings.stack.build_image()).await?;
        let digest = hex::encode(Sha256::digest([stack.as_bytes(), MISE.as_bytes(), MISE_SHA512.as_bytes()].concat()));
        let reference = format!("{RUNTIME_IMAGE_PREFIX}installer-{}", &digest[..16]);
        match self.engine.image(&reference).await {
            Ok(found) => return Ok(Ok(found.id)),
            Err(EngineError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let registry = self.settings.runtime_mirrors.of("npm").map(npm_registry).into_iter().collect();
        let container = self.installer_container(errand, stack, &["setup", MISE, MISE_SHA512], registry).await?;
        if let Err(reason) = self.printed(&container).await? {
            return Ok(Err(format!("{MISE} of the npm registry: {reason}")));
        }
        let stack = self.settings.stack.build_image();
        let image =
            self.engine.commit_container(container.id(), &reference, &labels([(INSTALLER, &stack)]), &[]).await?;
        self.remove_old_installers(&image.id, &stack).await?;
        Ok(Ok(image.id))
    }

    /// Removes what was made on an earlier build image of the stack, unless somebody is using it.
    async fn remove_old_installers(&self, present: &str, stack: &str) -> Result<(), BuildError> {
        for old in self.engine.images(&labels([(INSTALLER, stack)])).await? {
            for name in old.tags.iter().filter(|name| old.id != present && name.starts_with(RUNTIME_IMAGE_PREFIX)) {
                if let Err(error) = self.engine.remove_image(name).await {
                    tracing::debug!(name, %error, "an installer of an old stack is still in use");
                }
            }
        }
        Ok(())
    }

    async fn installer_container(
        &self,
        errand: Errand<'_>,
        image: String,
        arguments: &[&str],
        env: BTreeMap<String, String>,
    ) -> Result<Scratch, BuildError> {
        let name = container_name(errand.build, "runtime");
        let attempt = name.rsplit('-').next().unwrap_or_default();
        let spec = ContainerSpec {
            // As for builds, and with more behind the operation: another container of it may have the plain name.
            network: Some(format!("{BUILD_NETWORK}{}-{attempt}", errand.operation)),
            name,
            image,
            entrypoint: Some(["/bin/bash", "-c", PROGRAM, "installer"].map(str::to_owned).into()),
            command: Some(arguments.iter().map(|&argument| argument.to_owned()).collect()),
            env,
            labels: self.container_labels(errand.app, errand.operation),
            user: Some("0:0".to_owned()),
            resources: self.resources(),
            log_bytes: LOG_BYTES,
            ..ContainerSpec::default()
        };
        let container = Scratch::create_apart(&self.engine, &self.tasks, spec).await?;
        if let Some(bundle) = self.ca_bundle().await? {
            let archive = bundle.archive().map_err(BuildError::io("packing the CA bundle"))?;
            self.engine.upload(container.id(), "/", byte_stream(archive)).await?;
        }
        Ok(container)
    }

    /// Starts an installer and waits for its end: what it printed, or the last line that it said of its failure.
    async fn printed(&self, container: &Scratch) -> Result<Printed, BuildError> {
        let work = async {
            self.engine.start_container(container.id()).await?;
            let mut logs = self.engine.logs(container.id(), 0, true);
            let (mut printed, mut last) = (Vec::new(), String::new());
            while let Some(line) = logs.next().await {
                let line = line?;
                match line.output {
                    LogOutput::Stdout if printed.len() < LINES_MAX => printed.push(line.text),
                    LogOutput::Stdout => {}
                    LogOutput::Stderr => last = line.text,
                }
            }
            let status = self.engine.wait_container(container.id()).await?;
            Ok::<_, BuildError>(match status.code {
                0 => Ok(printed),
                code if last.is_empty() => Err(format!("it ended with status {code}")),
                _ => Err(plain(&last)),
            })
        };
        let limit = self.settings.time_limit;
        tokio::time::timeout(limit, work).await.unwrap_or(Err(BuildError::TimedOut { limit }))
    }

    /// How mise is told of a mirror. Node.js' is laid out as nodejs.org/dist is, which several public ones are; any other has the
    /// files of each host below the host's name.
    fn mirrors(&self, tool: Tool) -> BTreeMap<String, String> {
        let mirrors = &self.settings.runtime_mirrors;
        let mut env: BTreeMap<String, String> = mirrors.of("npm").map(npm_registry).into_iter().collect();
        let Some(url) = mirrors.of(tool.name()) else { return env };
        let set: &[(&str, String)] = match tool {
            Tool::Node => &[("MISE_NODE_MIRROR_URL", format!("{url}/")), ("MISE_USE_VERSIONS_HOST", "0".to_owned())],
            _ => &[
                ("MISE_URL_REPLACEMENTS", serde_json::json!({ "regex:^https?://": format!("{url}/") }).to_string()),
                ("PYTHON_RELEASES", format!("{url}/github.com")),
                ("RUSTUP_DIST_SERVER", format!("{url}/static.rust-lang.org")),
                // Attestations are asked of another host; the checksums beside the files remain.
                ("MISE_RUBY_GITHUB_ATTESTATIONS", "0".to_owned()),
            ],
        };
        env.extend(set.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        env
    }
}

/// What an installer said, for people: without a login that a mirror's address may have.
pub(super) fn plain(line: &str) -> String {
    static LOGIN: LazyLock<Regex> = LazyLock::new(|| Regex::new("://[^/@[:space:]]+@").expect("it is one"));
    LOGIN.replace_all(line, "://").chars().filter(|c| !c.is_control()).take(REASON_CHARS).collect()
}

fn npm_registry(url: &str) -> (String, String) {
    ("npm_config_registry".to_owned(), format!("{url}/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_plain_line_without_a_login() {
        assert_eq!(plain("404 for url (https://me:secret@m.example/a)"), "404 for url (https://m.example/a)");
        assert_eq!(plain("a\u{1b}[31mb"), "a[31mb");
        assert_eq!(plain(&"x".repeat(1000)).len(), REASON_CHARS);
    }
}
