//! What has to be known of a source, and fetched, before anything is built of it.

use std::sync::Arc;

use super::builder::BuildRequest;
use super::output::trouble;
use super::plan::{Plan, Recipe, no_directory};
use super::{BuildError, Builder};
use crate::engine::LineSink;
use crate::git::{SourceLimits, SubmoduleOptions};

impl Builder {
    /// Refuses a source that is larger than any may be, fetches its submodules, and says which files are but pointers of
    /// git-lfs; yields the request with the source as it is built.
    ///
    /// Cancel-safe: a fetch is ended, its processes are killed.
    pub(super) async fn prepare(
        &self,
        request: &BuildRequest,
        plan: &Plan,
        on_line: LineSink<'_>,
    ) -> Result<BuildRequest, BuildError> {
        let options = SubmoduleOptions {
            time_limit: SubmoduleOptions::default().time_limit.min(self.settings.time_limit),
            ca_bundle: self.settings.ca_bundle.clone(),
            outbound: self.settings.outbound.clone(),
            no_cache: request.no_cache,
            ..SubmoduleOptions::default()
        };
        let source = Arc::new(request.source.fetch_submodules(&options, on_line).await?);
        let whole = Arc::clone(&source);
        let inspect = move || Ok(whole.inspect(&SourceLimits::default())?);
        let inspected = self.blocking("looking at the source", inspect).await?;
        for line in inspected.lfs.warning() {
            trouble(on_line, &line);
        }
        if let (Recipe::Slug(..), Some(link)) = (&plan.recipe, inspected.link_outside) {
            return Err(BuildError::Refused(format!(
                "The symbolic link '{link}' leads out of the repository, and a slug is nothing but the repository: take it \
                 out, or link to a file inside, commit and push again."
            )));
        }
        // The submodules of a part are written down at the root of the whole.
        let source = match &plan.directory {
            None => source,
            Some(directory) => Arc::new(source.subtree(directory)?.ok_or_else(|| no_directory(directory))?),
        };
        Ok(BuildRequest { source, ..request.clone() })
    }
}
