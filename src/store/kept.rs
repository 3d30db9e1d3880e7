//! What clean-up has to leave alone, by what the rows say.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::AnyExecutor;

use super::StoreError;
use super::rows::{maybe_text, parsed, text, time};
use crate::model::{AppId, BuildKind, BuildStatus, OperationId, ReleaseStatus, Runtime, Timestamp};

/// A build whose image and slug stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBuild {
    /// Whose build.
    pub app_id: AppId,
    /// The engine's reference; empty for one that is not done. Several builds may share one.
    pub engine_image: String,
    /// Digest of its slug.
    pub slug: Option<String>,
    /// What it is made with.
    pub runtimes: Vec<Runtime>,
}

/// The builds that stay: those of each app's last `releases` deployed releases, those that an instance runs, those that
/// are not done, those of the last `unreleased` time that no release was made of, and all of apps that an operation other
/// than `except` is working on.
pub async fn builds<'c>(
    executor: impl AnyExecutor<'c>,
    releases: i64,
    unreleased: Duration,
    except: Option<&OperationId>,
) -> Result<Vec<KeptBuild>, StoreError> {
    let since = Timestamp::now().millis() - i64::try_from(unreleased.as_millis()).unwrap_or(i64::MAX);
    // Versions of deployed releases have no gaps, so that the last N are those above the highest less N.
    let rows = sqlx::query(
        "SELECT app_id, engine_image, slug, runtimes FROM builds WHERE status = $1 \
         OR id IN (SELECT r.build_id FROM releases r WHERE r.build_id IS NOT NULL AND (r.status <> $2 OR r.version > \
           (SELECT MAX(d.version) FROM releases d WHERE d.app_id = r.app_id AND d.status = $2) - $3)) \
         OR id IN (SELECT r.build_id FROM releases r JOIN instances i ON i.release_id = r.id WHERE r.build_id IS NOT NULL) \
         OR id IN (SELECT r.build_id FROM releases r JOIN group_instances i ON i.release_id = r.id \
           WHERE r.build_id IS NOT NULL AND i.state <> 'terminated') \
         OR (updated_at > $4 AND NOT EXISTS (SELECT 1 FROM releases r WHERE r.build_id = builds.id)) \
         OR app_id IN (SELECT lock_key FROM operations WHERE lock_key IS NOT NULL AND id <> $5)",
    )
    .bind(BuildStatus::Pending.as_str())
    .bind(ReleaseStatus::Deployed.as_str())
    .bind(releases)
    .bind(since)
    .bind(except.map_or("", OperationId::as_str))
    .fetch_all(executor)
    .await?;
    let kept = rows.iter().map(|row| {
        Ok(KeptBuild {
            app_id: parsed(row, "app_id")?,
            engine_image: text(row, "engine_image")?,
            slug: maybe_text(row, "slug")?,
            runtimes: super::builds::runtimes(row)?,
        })
    });
    kept.collect()
}

/// The names that images from elsewhere were given, each with its app. Those images carry no label of ours.
pub async fn names_of_images<'c>(executor: impl AnyExecutor<'c>) -> Result<Vec<(AppId, String)>, StoreError> {
    let rows = sqlx::query("SELECT DISTINCT app_id, engine_image FROM builds WHERE kind = $1 AND engine_image <> ''")
        .bind(BuildKind::Image.as_str())
        .fetch_all(executor)
        .await?;
    rows.iter().map(|row| Ok((parsed(row, "app_id")?, text(row, "engine_image")?))).collect()
}

/// When each app was last built; apps that never were are left out.
pub async fn last_builds<'c>(executor: impl AnyExecutor<'c>) -> Result<HashMap<AppId, Timestamp>, StoreError> {
    let rows = sqlx::query("SELECT app_id, MAX(created_at) AS created_at FROM builds GROUP BY app_id")
        .fetch_all(executor)
        .await?;
    rows.iter().map(|row| Ok((parsed(row, "app_id")?, time(row, "created_at")?))).collect()
}
