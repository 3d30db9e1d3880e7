//! What a tree is built with, and what can be refused before anything is started.

use std::sync::Arc;

use super::build_file::{BUILD_FILE, BuildFile, Way};
use super::buildpack_list::Buildpacks;
use super::foreign_buildpacks::ForeignBuildpack;
use super::spelling::misspelt;
use super::text::text_of;
use super::{AppJson, BuildError};
use crate::git::Source;
use crate::model::{BuildKind, ConfigVars, Procfile};

/// The file that makes a tree a Dockerfile build, at its root.
pub(super) const DOCKERFILE: &str = "Dockerfile";
/// The name that Docker takes as well, where there is no file of the usual one.
const LOWER_CASE: &str = "dockerfile";
const PROCFILE: &str = "Procfile";
const APP_JSON: &str = "app.json";

/// Largest Dockerfile, Procfile or ignore file that is read.
pub(super) const SMALL_FILE_BYTES: u64 = 1 << 20;

/// How a tree becomes an image.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is built: the pushed tree, or the part of it that `slipway-build.toml` names.
    pub(super) source: Arc<Source>,
    /// Where that part lies in the whole.
    pub(super) directory: Option<String>,
    /// Process types: they go before an image's own command and before what a buildpack gives.
    pub procfile: Option<Procfile>,
    /// What the tree asks of the platform.
    pub app_json: AppJson,
    /// Which way it goes.
    pub(super) recipe: Recipe,
}

/// The two ways.
#[derive(Debug, Clone)]
pub(super) enum Recipe {
    Dockerfile(Dockerfile),
    /// By buildpacks; those that are not ours, once they were fetched.
    Slug(Buildpacks, Vec<ForeignBuildpack>),
}

/// A Dockerfile and what it is built with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dockerfile {
    /// Where it lies in the tree.
    pub path: String,
    /// Its text.
    pub text: String,
    /// The stage that becomes the image.
    pub target: Option<String>,
    /// Config vars that it may read as secrets.
    pub secrets: Vec<String>,
}

impl Plan {
    /// The kind of build that this plan leads to.
    pub fn kind(&self) -> BuildKind {
        match self.recipe {
            Recipe::Dockerfile(_) => BuildKind::Dockerfile,
            Recipe::Slug(..) => BuildKind::Slug,
        }
    }
}

/// Decides how `source` is built: a Dockerfile wins, unless the repository or the app asks for buildpacks. Reads a few
/// small files of the repository; starts nothing.
///
/// # Errors
/// [`BuildError::Procfile`] names the line of a bad Procfile; [`BuildError::Refused`] the file or config var that says what
/// cannot be.
pub fn plan(source: &Arc<Source>, config: &ConfigVars) -> Result<Plan, BuildError> {
    let wanted = BuildFile::read(source.file(BUILD_FILE, SMALL_FILE_BYTES)?.as_deref(), config)?;
    let source = match &wanted.directory {
        None => Arc::clone(source),
        Some(directory) => Arc::new(source.subtree(directory)?.ok_or_else(|| no_directory(directory))?),
    };
    let procfile = match source.file(PROCFILE, SMALL_FILE_BYTES)? {
        Some(bytes) => Some(Procfile::parse(text_of_file(PROCFILE, &bytes)?.as_bytes())?),
        None => None,
    };
    let app_json = match source.file(APP_JSON, SMALL_FILE_BYTES)? {
        Some(bytes) => AppJson::parse(&bytes)
            .map_err(|error| BuildError::Refused(format!("{error}: correct it, commit and push again.")))?,
        None => AppJson::default(),
    };
    let recipe = match dockerfile(&source, &wanted)? {
        Some(dockerfile) => Recipe::Dockerfile(dockerfile),
        None => Recipe::Slug(Buildpacks::of(&source, &app_json, config)?, Vec::new()),
    };
    refuse_misspelt(&source, &wanted, &recipe)?;
    Ok(Plan { source, directory: wanted.directory, procfile, app_json, recipe })
}

/// The text of a pushed file, whatever editor saved it.
///
/// # Errors
/// [`BuildError::Refused`] names the file and says what to do.
pub(super) fn text_of_file(path: &str, bytes: &[u8]) -> Result<String, BuildError> {
    text_of(bytes).map_err(|error| BuildError::Refused(format!("{path} {error}, commit and push again.")))
}

/// Refuses a file that its author takes for one that steers the build.
fn refuse_misspelt(source: &Source, wanted: &BuildFile, recipe: &Recipe) -> Result<(), BuildError> {
    let is_slug = matches!(recipe, Recipe::Slug(Buildpacks::Detected, _));
    let mut names = source.top()?;
    if !matches!(recipe, Recipe::Slug(..)) || wanted.builder == Some(Way::Buildpacks) {
        // It is known what the image is built by.
        names.push(DOCKERFILE.to_owned());
    }
    match misspelt(&names, is_slug) {
        None => Ok(()),
        Some((found, right)) => Err(BuildError::Refused(format!(
            "Nothing reads the file '{found}'; the name that counts is '{right}': type git mv {found} {right}, commit and push \
             again, or give it another name if it is something else."
        ))),
    }
}

/// The part that is to be built is not there.
pub(super) fn no_directory(directory: &str) -> BuildError {
    BuildError::Refused(format!(
        "There is no directory '{directory}' in this commit, which is what {BUILD_FILE} or the app's config asks to be built: \
         correct the path, commit and push again."
    ))
}

fn dockerfile(source: &Source, wanted: &BuildFile) -> Result<Option<Dockerfile>, BuildError> {
    if wanted.builder == Some(Way::Buildpacks) {
        return Ok(None);
    }
    let mut path = wanted.dockerfile.as_deref().unwrap_or(DOCKERFILE);
    let mut text = source.file(path, SMALL_FILE_BYTES)?;
    if text.is_none() && wanted.dockerfile.is_none() {
        // As `docker build .` does.
        text = source.file(LOWER_CASE, SMALL_FILE_BYTES)?;
        path = if text.is_some() { LOWER_CASE } else { path };
    }
    let Some(text) = text else {
        if wanted.dockerfile.is_none() && wanted.builder.is_none() && wanted.target.is_none() {
            return Ok(None);
        }
        return Err(BuildError::Refused(format!(
            "There is no file '{path}' in this commit, which is what {BUILD_FILE} or the app's config asks to be built by: \
             correct the path, commit and push again."
        )));
    };
    let text = text_of_file(path, &text)?;
    let (target, secrets) = (wanted.target.clone(), wanted.secrets.clone());
    Ok(Some(Dockerfile { path: path.to_owned(), text, target, secrets }))
}
