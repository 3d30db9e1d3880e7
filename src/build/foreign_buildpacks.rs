//! Buildpacks of others: fetched before each build that names them, as they stand then.

use std::sync::Arc;
use std::time::Duration;

use super::buildpack_list::{Buildpack, Buildpacks, PLACES};
use super::output::Phase;
use super::plan::Recipe;
use super::tree::SLUG_UID;
use super::{BuildError, Builder, Plan};
use crate::engine::{ByteStream, LineSink};
use crate::git::{Foreign, Source, SourceOptions};

/// How long one may take.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Most bytes of one, as they come.
const MOST_BYTES: u64 = 100 << 20;

/// One that was fetched.
#[derive(Debug, Clone)]
pub(super) struct ForeignBuildpack {
    /// Its folder below `/buildpacks`.
    folder: String,
    pub source: Arc<Source>,
}

impl ForeignBuildpack {
    /// Its files, in its folder. They belong to the user that builds: such buildpacks write into their own folders.
    pub fn archive(&self) -> ByteStream {
        let options = SourceOptions { owner: SLUG_UID, below: Some(self.folder.clone()), ..SourceOptions::default() };
        self.source.tar_stream(options, |_, _| true)
    }
}

impl Builder {
    /// Fetches the foreign buildpacks of a plan, so that it is known what exactly builds; says which commit each one is.
    ///
    /// Cancel-safe: what was fetched goes.
    ///
    /// # Errors
    /// [`BuildError::Refused`] names the one that cannot be had, why, and what to do.
    pub async fn fetch_buildpacks(&self, plan: Plan, on_line: LineSink<'_>) -> Result<Plan, BuildError> {
        let Recipe::Slug(Buildpacks::Listed(listed), _) = &plan.recipe else { return Ok(plan) };
        let mut fetched = Vec::new();
        for (number, buildpack) in listed.iter().enumerate() {
            let Some(source) = self.fetch_buildpack(buildpack, on_line).await? else { continue };
            // What the author keeps beside it is no buildpack: say so before a container is started for it.
            for program in ["bin/detect", "bin/compile"] {
                if !source.exists(program)? {
                    return Err(BuildError::Refused(format!(
                        "{} is no buildpack, it has no {program}: correct its address in {PLACES}, then push again.",
                        buildpack.name()
                    )));
                }
            }
            fetched.push(ForeignBuildpack { folder: buildpack.folder(number), source: Arc::new(source) });
        }
        let recipe = Recipe::Slug(Buildpacks::Listed(listed.clone()), fetched);
        Ok(Plan { recipe, ..plan })
    }

    async fn fetch_buildpack(
        &self,
        buildpack: &Buildpack,
        on_line: LineSink<'_>,
    ) -> Result<Option<Source>, BuildError> {
        let (url, reference) = match buildpack {
            Buildpack::BuiltIn(_) => return Ok(None),
            Buildpack::Git { url, reference } => (url, reference.clone()),
            Buildpack::Archive(url) => (url, None),
        };
        let foreign = Foreign {
            url: url.clone(),
            reference,
            place: PLACES,
            time_limit: TIME_LIMIT,
            max_bytes: MOST_BYTES,
            ca_bundle: self.settings.ca_bundle.clone(),
            outbound: self.settings.outbound.clone(),
        };
        let phase = Phase::begin(on_line, &format!("Fetching buildpack {}", foreign.shown()));
        let source = match buildpack {
            Buildpack::Archive(_) => foreign.download().await?,
            _ => foreign.fetch().await?,
        };
        if matches!(buildpack, Buildpack::Git { .. }) {
            phase.detail(&format!("commit {}", source.commit()));
        }
        Ok(Some(source))
    }
}
