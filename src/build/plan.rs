//! What a tree is built with, and what can be refused before anything is started.

use super::BuildError;
use crate::git::Source;
use crate::model::Procfile;

/// The file that makes a tree a Dockerfile build, at its root.
pub(super) const DOCKERFILE: &str = "Dockerfile";
const PROCFILE: &str = "Procfile";

/// Largest Dockerfile, Procfile or ignore file that is read.
pub(super) const SMALL_FILE_BYTES: u64 = 1 << 20;

/// How a tree becomes an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// By the Dockerfile at its root, which wins over everything else.
    Dockerfile {
        /// Its text.
        dockerfile: String,
        /// Commands that go before the image's own.
        procfile: Option<Procfile>,
    },
    /// By the first buildpack that accepts it.
    Slug {
        /// Process types; where there is none, the buildpack may give some.
        procfile: Option<Procfile>,
    },
}

/// Decides how `source` is built. Reads a few small files of the repository; starts nothing.
///
/// # Errors
/// [`BuildError::Procfile`] names the line of a bad Procfile; [`BuildError::Refused`] for a Dockerfile that is no text.
pub fn plan(source: &Source) -> Result<Plan, BuildError> {
    let procfile = match source.file(PROCFILE, SMALL_FILE_BYTES)? {
        Some(bytes) => Some(Procfile::parse(&bytes)?),
        None => None,
    };
    let Some(dockerfile) = source.file(DOCKERFILE, SMALL_FILE_BYTES)? else { return Ok(Plan::Slug { procfile }) };
    let dockerfile = String::from_utf8(dockerfile).map_err(|_| {
        BuildError::Refused("The Dockerfile is not UTF-8 text: convert it, commit and push again.".into())
    })?;
    Ok(Plan::Dockerfile { dockerfile, procfile })
}
