//! The image of a managed group's build: fetched once, by whoever needs it first.

use std::time::Duration;

use super::super::{RolloutError, Rollouts, Target};
use super::Trouble;
use crate::engine::{EngineError, Image, registry_login};
use crate::model::{BuildHealth, BuildStatus, InvalidImageReference, ProcessGroup};
use crate::store::builds::{self, BuildResult};
use crate::store::{StoreError, process_groups};

/// How long an image may take to come.
const FETCH_LIMIT: Duration = Duration::from_secs(15 * 60);

impl Rollouts {
    /// Makes sure that the engine has the image of a managed group's build, and that the group knows it.
    pub(super) async fn ensure_managed_image(&self, group: &ProcessGroup, target: &Target) -> Result<(), Trouble> {
        let turn = self.0.groups.fetch_of(target.build.id);
        let _turn = turn.lock().await;
        let (pool, build) = (self.0.store.pool(), &target.build);
        let is_known = builds::get(pool, build.id).await?.is_some_and(|now| now.status == BuildStatus::Succeeded);
        if is_known {
            match self.0.engine.image(&build.engine_image).await {
                Ok(image) => return Ok(self.note_facts(group, target, &image).await?),
                Err(EngineError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let image = self.fetch_for(target).await?;
        let port = if let [port] = image.ports[..] { Some(port) } else { None };
        let health = BuildHealth { image: image.health.clone(), ..BuildHealth::default() };
        let result = BuildResult {
            engine_image: build.engine_image.clone(),
            fingerprint: None,
            slug: None,
            procfile: build.procfile.clone(),
            port,
            health,
            cron: Vec::new(),
        };
        builds::succeed(pool, build.id, &result).await?;
        Ok(self.note_facts(group, target, &image).await?)
    }

    /// What the image itself says becomes the group's, once it is the group's image.
    async fn note_facts(&self, group: &ProcessGroup, target: &Target, image: &Image) -> Result<(), StoreError> {
        if group.image != target.build.image {
            return Ok(());
        }
        let pool = self.0.store.pool();
        process_groups::set_image_facts(pool, group.id, &image.command, &image.entrypoint, &image.exposed).await
    }

    async fn fetch_for(&self, target: &Target) -> Result<Image, Trouble> {
        let build = &target.build;
        let login = registry_login(&target.config.values).map_err(Trouble::Told)?;
        let silent = |_: &str| {};
        let reference = build.image.parse().map_err(|error: InvalidImageReference| Trouble::Told(error.to_string()))?;
        let fetch = self.0.images.fetch(target.app.id, &reference, login.as_ref(), &build.engine_image, &silent);
        let limit = || EngineError::TimedOut { action: format!("pulling image {}", build.image), limit: FETCH_LIMIT };
        let fetched = tokio::time::timeout(FETCH_LIMIT, fetch).await.unwrap_or_else(|_| Err(limit()));
        match fetched {
            // A registry that does not answer is no engine that is away: waiting for it was the engine's part.
            Err(error @ EngineError::TimedOut { .. }) => Err(Trouble::Told(error.to_string())),
            fetched => Ok(fetched?),
        }
    }

    /// Fetches the image of a release that a managed group is to go over to.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn prepare_managed(&self, group: &ProcessGroup, target: &Target) -> Result<(), RolloutError> {
        self.ensure_managed_image(group, target).await.map_err(|trouble| match trouble {
            Trouble::Told(text) | Trouble::PortTaken(text) => RolloutError::Unhealthy(vec![text]),
            Trouble::Store(error) => RolloutError::Store(error),
            Trouble::Away(error) => RolloutError::Engine(error),
        })
    }
}
