//! What there is: in the engine and on disk first, then in the rows, so that whatever is made meanwhile is accounted for.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::{Caches, Cleanup};
use crate::build::SlugFile;
use crate::engine::{Container, Image, Labels, Volume, label, labels};
use crate::model::{App, AppId, Operation, OperationId, Timestamp};
use crate::platform::Error;
use crate::store::kept::KeptBuild;
use crate::store::{Page, apps, instances, kept, operations};

/// A build that no release was made of may be pushed again for so long without being built anew.
const UNRELEASED: Duration = Duration::from_secs(24 * 3600);

/// All that the rules look at.
#[derive(Default)]
pub(super) struct Facts {
    pub keep_releases: i64,
    pub build_cache_bytes: u64,
    pub server_id: String,
    /// All images of the engine.
    pub images: Vec<Image>,
    /// All containers of the engine.
    pub containers: Vec<Container>,
    /// Names of this installation's networks.
    pub networks: Vec<String>,
    /// This installation's build caches.
    pub caches: Caches,
    pub slugs: Vec<SlugFile>,
    pub runtimes: Vec<SlugFile>,
    pub runtime_bytes: u64,
    pub temporary: Vec<SlugFile>,
    pub apps: HashMap<AppId, App>,
    /// Operations at work, but for clean-up's own, by app.
    pub busy: HashMap<AppId, Operation>,
    /// Ids of all live operations.
    pub operations: HashSet<String>,
    /// Ids of all instances.
    pub instances: HashSet<String>,
    pub kept: Vec<KeptBuild>,
    /// Names that images from elsewhere were given.
    pub names_of_images: Vec<(AppId, String)>,
    pub last_builds: HashMap<AppId, Timestamp>,
}

impl Cleanup {
    /// Reads them. `own` is the operation of the clean-up that asks.
    pub(super) async fn facts(&self, caches: &Caches, own: Option<&OperationId>) -> Result<Facts, Error> {
        let (engine, pool) = (&self.engine, self.store.pool());
        let images = engine.images(&Labels::new()).await?;
        let containers = engine.containers(&Labels::new()).await?;
        let networks = engine.networks(&self.ours()).await?;
        let [slugs, runtimes, temporary] = self.files().await?;
        let apps = apps::list(pool, None, Page::ALL).await?.into_iter().map(|app| (app.id, app)).collect();
        let live = operations::live(pool).await?;
        Ok(Facts {
            keep_releases: self.settings.keep_releases,
            build_cache_bytes: self.settings.build_cache_bytes,
            server_id: self.settings.server_id.clone(),
            images,
            containers,
            networks,
            caches: caches.clone(),
            slugs,
            runtimes,
            runtime_bytes: self.settings.runtime_bytes,
            temporary,
            apps,
            operations: live.iter().map(|operation| operation.id.to_string()).collect(),
            busy: live.into_iter().filter(|it| Some(&it.id) != own).map(|it| (it.app_id, it)).collect(),
            instances: instances::ids(pool).await?.into_iter().collect(),
            kept: kept::builds(pool, self.settings.keep_releases, UNRELEASED, own).await?,
            names_of_images: kept::names_of_images(pool).await?,
            last_builds: kept::last_builds(pool).await?,
        })
    }

    pub(super) fn ours(&self) -> Labels {
        labels([(label::SERVER, &self.settings.server_id)])
    }

    pub(super) async fn caches(&self) -> Result<Vec<Volume>, Error> {
        let mut volumes = self.engine.volumes(&self.ours()).await?;
        volumes.retain(|volume| volume.name.starts_with("slipway-cache-"));
        Ok(volumes)
    }

    async fn files(&self) -> Result<[Vec<SlugFile>; 3], Error> {
        let slugs = self.slugs.clone();
        let read =
            tokio::task::spawn_blocking(move || Ok([slugs.files()?, slugs.runtimes()?, slugs.temporary_files()?]))
                .await;
        let read: std::io::Result<_> = read.map_err(|error| Error::Internal(error.into()))?;
        read.map_err(|error| Error::Internal(anyhow::Error::new(error).context("reading the slug store")))
    }
}
