//! Stage 3: image and config become a numbered, immutable release.
//!
//! A release is only *cut* here: it counts once the rollout has switched to it. Until then it is pending, invisible to
//! every list, and removed without a trace if its rollout fails.

mod summary;

use crate::model::{AppId, BuildId, Config, ConfigId, Release, ReleaseStatus, User};
use crate::store::{Store, StoreError, Transaction, builds, configs, operations, releases};

pub use summary::Change;

/// What the next release is made of.
#[derive(Debug, Clone, Copy)]
pub struct Parts {
    /// What runs; `None` before the first build.
    pub build: Option<BuildId>,
    /// What it runs with.
    pub config: ConfigId,
}

/// Cuts the app's next release and notes it in the operation, in the caller's transaction.
///
/// # Errors
/// [`StoreError::Duplicate`] when two releases of one app are cut at once, which the app's operation lock prevents.
pub async fn cut(
    tx: &mut Transaction,
    operation: &crate::model::OperationId,
    app: AppId,
    by: &User,
    parts: Parts,
    summary: String,
) -> Result<Release, StoreError> {
    let new = releases::NewRelease {
        app,
        owner: by.id,
        build: parts.build,
        config: parts.config,
        summary,
        status: ReleaseStatus::Pending,
    };
    let release = releases::insert(tx, &new).await?;
    operations::set_release(&mut **tx, operation, release.id).await?;
    Ok(release)
}

/// A release with what it points to.
#[derive(Debug, Clone)]
pub struct Contents {
    /// The release.
    pub release: Release,
    /// Its build, if it has one.
    pub build: Option<crate::model::Build>,
    /// Its config.
    pub config: Config,
}

/// Loads the build and config of a release.
pub async fn contents(store: &Store, release: Release) -> Result<Contents, StoreError> {
    let config = configs::get(store.pool(), store.sealer(), release.config_id).await?;
    let build = match release.build_id {
        Some(id) => builds::get(store.pool(), id).await?,
        None => None,
    };
    Ok(Contents { release, build, config })
}

/// The app's newest deployed release with what it points to.
///
/// # Errors
/// [`StoreError::Corrupt`] when the app has none: v1 is made together with the app.
pub async fn current(store: &Store, app: AppId) -> Result<Contents, StoreError> {
    let latest = releases::latest(store.pool(), app).await?;
    let release = latest.ok_or(StoreError::Corrupt { column: "releases.app_id", value: app.to_string() })?;
    contents(store, release).await
}
