//! The stack: the pair of images that slugs are built and run on, and how this machine gets them.

mod bootstrap;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use self::bootstrap::{BOOTSTRAP, bootstrap};
use super::BuildError;
use super::output::{Phase, detail};
use crate::engine::{
    DEFAULT_STACK, Engine, EngineError, Image, ImageBuild, LineSink, byte_stream, labels, small_archive,
};

/// Name of the stack, as slugs see it in `STACK`: ours, on Debian 12.
pub const STACK_NAME: &str = "slipway-12";

/// Says which version of the recipe an image was made by.
const LABEL: &str = "io.slipway.stack";

/// The base where a registry answers. Where none does, it is bootstrapped from Debian packages.
const BASE_REFERENCE: &str = "debian:bookworm-slim";

/// How long a registry may take to answer at all.
const PULL_LIMIT: Duration = Duration::from_secs(10);

/// How long each of bootstrap, run image and build image may take.
const STEP_LIMIT: Duration = Duration::from_secs(1800);

/// The recipe, file by file: its digest is the version.
const FILES: [(&str, &[u8]); 6] = [
    ("run.Dockerfile", include_bytes!("stack/run.Dockerfile")),
    ("build.Dockerfile", include_bytes!("stack/build.Dockerfile")),
    ("slug-runner", include_bytes!("stack/slug-runner")),
    ("slug-builder", include_bytes!("stack/slug-builder")),
    ("pack.sh", include_bytes!("stack/pack.sh")),
    ("merge-releases", include_bytes!("stack/merge-releases")),
];

/// Whether slugs can be built on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StackStatus {
    /// Both images are there, made by this version's recipe.
    Current,
    /// Both are there, made by another version's recipe: builds work, `slipway stack build` brings them up to date.
    Outdated,
    /// One is missing: `slipway stack build` makes it.
    Missing,
}

/// Names the stack's images in the engine.
#[derive(Debug, Clone)]
pub struct Stack {
    repository: String,
}

impl Default for Stack {
    fn default() -> Self {
        Self::new(DEFAULT_STACK)
    }
}

impl Stack {
    /// The stack whose images are tags of `repository`.
    pub fn new(repository: &str) -> Self {
        Self { repository: repository.to_owned() }
    }

    /// What slugs run on.
    pub fn run_image(&self) -> String {
        format!("{}:{STACK_NAME}-run", self.repository)
    }

    /// What slugs are built in.
    pub fn build_image(&self) -> String {
        format!("{}:{STACK_NAME}-build", self.repository)
    }

    fn base_image(&self) -> String {
        format!("{}:{STACK_NAME}-base", self.repository)
    }

    /// Whether the images are there and up to date.
    ///
    /// # Errors
    /// [`BuildError::Engine`] when the engine does not say.
    pub async fn status(&self, engine: &dyn Engine) -> Result<StackStatus, BuildError> {
        let mut status = StackStatus::Current;
        for reference in [self.run_image(), self.build_image()] {
            match find(engine, &reference).await? {
                None => return Ok(StackStatus::Missing),
                Some(image) if !is_of_stack(&image) => return Ok(StackStatus::Missing),
                Some(image) if !is_current(&image) => status = StackStatus::Outdated,
                Some(_) => {}
            }
        }
        Ok(status)
    }

    /// Makes the images, unless they are current and `force` does not ask for fresh packages all the same.
    ///
    /// Each image gets its name when it is finished, so builds go on with the old ones meanwhile. Cancel-safe: called
    /// again, it goes on with what is there.
    ///
    /// # Errors
    /// [`BuildError::Refused`] when there is neither a registry nor `mmdebstrap`; [`BuildError::Failed`] when a step
    /// fails, after its output.
    pub async fn build(&self, engine: &dyn Engine, force: bool, on_line: LineSink<'_>) -> Result<(), BuildError> {
        if !force && self.status(engine).await? == StackStatus::Current {
            Phase::begin(on_line, &format!("Stack {STACK_NAME} is up to date"));
            return Ok(());
        }
        self.ensure_base(engine, force, on_line).await?;
        let run = Step { file: "run.Dockerfile", tools: &["slug-runner"], arg: "BASE", from: self.base_image() };
        run.build(engine, &self.run_image(), force, on_line).await?;
        let tools = &["slug-builder", "pack.sh", "merge-releases"];
        let build = Step { file: "build.Dockerfile", tools, arg: "RUN", from: self.run_image() };
        build.build(engine, &self.build_image(), force, on_line).await
    }

    /// The base of this recipe, pulled or bootstrapped.
    async fn ensure_base(&self, engine: &dyn Engine, force: bool, on_line: LineSink<'_>) -> Result<(), BuildError> {
        let reference = self.base_image();
        if !force && find(engine, &reference).await?.is_some_and(|image| is_current_base(&image)) {
            return Ok(());
        }
        let phase = Phase::begin(on_line, &format!("Fetching the base of stack {STACK_NAME}"));
        if pull_base(engine).await.is_some() {
            engine.tag_image(BASE_REFERENCE, &reference).await?;
        } else {
            phase.detail("no registry gives it; bootstrapping it from Debian packages");
            let changes = ["CMD [\"/bin/bash\"]".to_owned(), format!("LABEL {LABEL}={}", base_digest())];
            tokio::time::timeout(STEP_LIMIT, bootstrap(engine, &reference, &changes, on_line))
                .await
                .map_err(|_| BuildError::TimedOut { limit: STEP_LIMIT })??;
        }
        phase.done();
        Ok(())
    }
}

/// One of the two images: a Dockerfile, the tools it copies, and what it is built on.
struct Step {
    file: &'static str,
    tools: &'static [&'static str],
    arg: &'static str,
    from: String,
}

impl Step {
    async fn build(
        &self,
        engine: &dyn Engine,
        tag: &str,
        force: bool,
        on_line: LineSink<'_>,
    ) -> Result<(), BuildError> {
        let phase = Phase::begin(on_line, &format!("Building {tag}"));
        let context = FILES.iter().filter(|(name, _)| *name == self.file || self.tools.contains(name));
        let context = context.map(|(name, contents)| (Path::new(*name), 0o644, *contents));
        let context = small_archive(context, 0).map_err(BuildError::io("packing the stack's recipe"))?;
        let build = ImageBuild {
            tag: tag.to_owned(),
            dockerfile: self.file.to_owned(),
            args: BTreeMap::from([(self.arg.to_owned(), self.from.clone())]),
            labels: labels([(LABEL, &digest())]),
            no_cache: force,
            ..ImageBuild::default()
        };
        let indented = |line: &str| detail(on_line, line);
        let old = find(engine, tag).await?;
        let built = engine.build_image(&build, byte_stream(context), &indented);
        let built = tokio::time::timeout(STEP_LIMIT, built).await;
        match built.map_err(|_| BuildError::TimedOut { limit: STEP_LIMIT })? {
            Err(EngineError::BuildFailed(status)) => Err(BuildError::Failed {
                stage: format!("building {tag}"),
                status,
                hint: "Debian's package mirror must be reachable from containers; then type: slipway stack build"
                    .into(),
            }),
            built => {
                let new = built?;
                if let Some(old) = old.filter(|old| old.id != new.id)
                    && let Err(error) = engine.remove_image(&old.id).await
                {
                    tracing::debug!(image = %old.id, %error, "an image of the old stack is still in use");
                }
                phase.done();
                Ok(())
            }
        }
    }
}

/// Pulls the base, if a registry answers in time; what follows the answer may take longer.
async fn pull_base(engine: &dyn Engine) -> Option<Image> {
    let answered = tokio::sync::Notify::new();
    let on_line = |_: &str| answered.notify_one();
    let pull = engine.pull_image(BASE_REFERENCE, None, &on_line);
    tokio::pin!(pull);
    tokio::select! {
        pulled = &mut pull => pulled.ok(),
        () = answered.notified() => tokio::time::timeout(STEP_LIMIT, pull).await.ok()?.ok(),
        () = tokio::time::sleep(PULL_LIMIT) => None,
    }
}

async fn find(engine: &dyn Engine, reference: &str) -> Result<Option<Image>, BuildError> {
    match engine.image(reference).await {
        Ok(image) => Ok(Some(image)),
        Err(EngineError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether some version of the recipe made an image, whatever it is called.
pub(super) fn is_of_stack(image: &Image) -> bool {
    image.labels.contains_key(LABEL)
}

fn is_current(image: &Image) -> bool {
    image.labels.get(LABEL) == Some(&digest())
}

/// A pulled base carries no label of ours, and its name says enough.
fn is_current_base(image: &Image) -> bool {
    image.labels.get(LABEL).is_none_or(|made_by| *made_by == base_digest())
}

fn digest() -> String {
    let mut digest = Sha256::new();
    digest.update(base_digest());
    for (name, contents) in FILES {
        digest.update(name);
        digest.update(contents.len().to_be_bytes());
        digest.update(contents);
    }
    hex::encode(digest.finalize())
}

fn base_digest() -> String {
    hex::encode(Sha256::digest([&[BASE_REFERENCE], BOOTSTRAP.as_slice()].concat().join("\0")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::docker::Docker;

    #[tokio::test]
    async fn the_status_tells_this_recipe_from_another() {
        let engine = Docker::connect("unix:///var/run/docker.sock").await.unwrap();
        let stack = Stack::new(&format!("slipway/stack-test-{}", std::process::id()));
        let make = async |reference: &str, made_by: &str| {
            let rootfs = small_archive([(Path::new("x"), 0o644, b"".as_slice())], 0).unwrap();
            engine.import_image(reference, byte_stream(rootfs), &[format!("LABEL {LABEL}={made_by}")]).await.unwrap();
        };
        assert_eq!(stack.status(&engine).await.unwrap(), StackStatus::Missing);
        make(&stack.run_image(), &digest()).await;
        assert_eq!(stack.status(&engine).await.unwrap(), StackStatus::Missing);
        make(&stack.build_image(), "another").await;
        assert_eq!(stack.status(&engine).await.unwrap(), StackStatus::Outdated);
        engine.remove_image(&stack.build_image()).await.unwrap();
        make(&stack.build_image(), &digest()).await;
        assert_eq!(stack.status(&engine).await.unwrap(), StackStatus::Current);
        let said = std::sync::Mutex::new(Vec::new());
        stack.build(&engine, false, &|line| said.lock().unwrap().push(line.to_owned())).await.unwrap();
        assert_eq!(*said.lock().unwrap(), ["-----> Stack slipway-12 is up to date"]);
        for image in [stack.run_image(), stack.build_image()] {
            engine.remove_image(&image).await.unwrap();
        }
    }
}
