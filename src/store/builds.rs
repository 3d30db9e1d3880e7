//! Builds.

use sqlx::AnyExecutor;
use sqlx::any::AnyRow;

use super::rows::{integer, maybe_text, narrow, parsed, text, time};
use super::{Page, StoreError};
use crate::model::{
    AppId, Build, BuildHealth, BuildId, BuildKind, BuildStatus, CronTask, Procfile, Runtime, Timestamp, UserId,
};

const SELECT: &str = "SELECT builds.*, users.username AS owner FROM builds JOIN users ON users.id = builds.owner_id";

/// A build that begins.
#[derive(Debug, Clone)]
pub struct NewBuild {
    /// Whose build.
    pub app: AppId,
    /// Who asked for it.
    pub owner: UserId,
    /// How the image will come about.
    pub kind: BuildKind,
    /// What people will see.
    pub image: String,
    /// The engine's reference where it is known beforehand, so that whatever carries it is found again after a crash.
    pub engine_image: String,
    /// Id of the commit, whole for a pushed one.
    pub commit: Option<String>,
    /// What was posted as the Dockerfile of an image built elsewhere.
    pub dockerfile: String,
}

/// What a build yielded.
#[derive(Debug, Clone)]
pub struct BuildResult {
    /// The engine's reference.
    pub engine_image: String,
    /// For reuse.
    pub fingerprint: Option<String>,
    /// Digest of the slug.
    pub slug: Option<String>,
    /// Process types and commands.
    pub procfile: Procfile,
    /// The single declared port.
    pub port: Option<u16>,
    /// What it says of the health of its instances.
    pub health: BuildHealth,
    /// What it asks to be run when.
    pub cron: Vec<CronTask>,
}

fn build(row: &AnyRow) -> Result<Build, StoreError> {
    let procfile = text(row, "procfile")?;
    let port: Option<i64> = sqlx::Row::try_get(row, "port")?;
    Ok(Build {
        id: parsed(row, "id")?,
        app_id: parsed(row, "app_id")?,
        owner_id: parsed(row, "owner_id")?,
        owner: parsed(row, "owner")?,
        kind: parsed(row, "kind")?,
        status: parsed(row, "status")?,
        image: text(row, "image")?,
        engine_image: text(row, "engine_image")?,
        commit: maybe_text(row, "commit_id")?,
        fingerprint: maybe_text(row, "fingerprint")?,
        slug: maybe_text(row, "slug")?,
        dockerfile: text(row, "dockerfile")?,
        procfile: serde_json::from_str(&procfile)
            .map_err(|_| StoreError::Corrupt { column: "procfile", value: procfile })?,
        port: port.is_some().then(|| narrow(row, "port")).transpose()?,
        health: match maybe_text(row, "health")? {
            None => BuildHealth::default(),
            Some(health) => {
                serde_json::from_str(&health).map_err(|_| StoreError::Corrupt { column: "health", value: health })?
            }
        },
        cron: match maybe_text(row, "cron")? {
            None => Vec::new(),
            Some(cron) => {
                serde_json::from_str(&cron).map_err(|_| StoreError::Corrupt { column: "cron", value: cron })?
            }
        },
        runtimes: runtimes(row)?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

/// The languages whose version the build of a row asked for.
pub(super) fn runtimes(row: &AnyRow) -> Result<Vec<Runtime>, StoreError> {
    let Some(text) = maybe_text(row, "runtimes")? else { return Ok(Vec::new()) };
    serde_json::from_str(&text).map_err(|_| StoreError::Corrupt { column: "runtimes", value: text })
}

/// Records the beginning of a build.
pub async fn insert<'c>(executor: impl AnyExecutor<'c>, id: BuildId, new: &NewBuild) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO builds (id, app_id, owner_id, kind, status, image, engine_image, commit_id, dockerfile, procfile, \
         created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '{}', $10, $10)",
    )
    .bind(id.to_string())
    .bind(new.app.to_string())
    .bind(new.owner.to_string())
    .bind(new.kind.as_str())
    .bind(BuildStatus::Pending.as_str())
    .bind(&new.image)
    .bind(&new.engine_image)
    .bind(new.commit.as_deref())
    .bind(&new.dockerfile)
    .bind(Timestamp::now().millis())
    .execute(executor)
    .await?;
    Ok(())
}

/// Records what a build yielded.
pub async fn succeed<'c>(executor: impl AnyExecutor<'c>, id: BuildId, result: &BuildResult) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE builds SET status = $2, engine_image = $3, fingerprint = $4, slug = $5, procfile = $6, port = $7, \
         updated_at = $8, health = $9, cron = $10 WHERE id = $1",
    )
    .bind(id.to_string())
    .bind(BuildStatus::Succeeded.as_str())
    .bind(&result.engine_image)
    .bind(result.fingerprint.as_deref())
    .bind(result.slug.as_deref())
    .bind(serde_json::to_string(&result.procfile).expect("a Procfile is JSON"))
    .bind(result.port.map(i64::from))
    .bind(Timestamp::now().millis())
    .bind((!result.health.is_empty()).then(|| serde_json::to_string(&result.health).expect("health is JSON")))
    .bind((!result.cron.is_empty()).then(|| serde_json::to_string(&result.cron).expect("tasks are JSON")))
    .execute(executor)
    .await?;
    Ok(())
}

/// Records what a build is made with, before it is, so that clean-up leaves that alone.
pub async fn set_runtimes<'c>(
    executor: impl AnyExecutor<'c>,
    id: BuildId,
    runtimes: &[Runtime],
) -> Result<(), StoreError> {
    sqlx::query("UPDATE builds SET runtimes = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind((!runtimes.is_empty()).then(|| serde_json::to_string(runtimes).expect("runtimes are JSON")))
        .execute(executor)
        .await?;
    Ok(())
}

/// What the app's newest successful build was made with; `None` before the first one.
pub async fn last_runtimes<'c>(executor: impl AnyExecutor<'c>, app: AppId) -> Result<Option<Vec<Runtime>>, StoreError> {
    let row = sqlx::query(
        "SELECT runtimes FROM builds WHERE app_id = $1 AND status = $2 ORDER BY created_at DESC, id LIMIT 1",
    )
    .bind(app.to_string())
    .bind(BuildStatus::Succeeded.as_str())
    .fetch_optional(executor)
    .await?;
    row.as_ref().map(runtimes).transpose()
}

/// Marks an app's unfinished builds as failed.
pub async fn fail_pending<'c>(executor: impl AnyExecutor<'c>, app: AppId) -> Result<(), StoreError> {
    sqlx::query("UPDATE builds SET status = $2, updated_at = $3 WHERE app_id = $1 AND status = $4")
        .bind(app.to_string())
        .bind(BuildStatus::Failed.as_str())
        .bind(Timestamp::now().millis())
        .bind(BuildStatus::Pending.as_str())
        .execute(executor)
        .await?;
    Ok(())
}

/// The build of that id.
pub async fn get<'c>(executor: impl AnyExecutor<'c>, id: BuildId) -> Result<Option<Build>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("{SELECT} WHERE builds.id = $1"));
    let row = sqlx::query(sql).bind(id.to_string()).fetch_optional(executor).await?;
    row.as_ref().map(build).transpose()
}

/// The newest successful build of the app with that fingerprint.
pub async fn by_fingerprint<'c>(
    executor: impl AnyExecutor<'c>,
    app: AppId,
    fingerprint: &str,
) -> Result<Option<Build>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!(
        "{SELECT} WHERE builds.app_id = $1 AND fingerprint = $2 AND status = $3 \
         ORDER BY builds.created_at DESC, builds.id LIMIT 1"
    ));
    let row = sqlx::query(sql)
        .bind(app.to_string())
        .bind(fingerprint)
        .bind(BuildStatus::Succeeded.as_str())
        .fetch_optional(executor)
        .await?;
    row.as_ref().map(build).transpose()
}

/// An app's builds, newest first.
pub async fn list<'c>(executor: impl AnyExecutor<'c>, app: AppId, page: Page) -> Result<Vec<Build>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!(
        "{SELECT} WHERE builds.app_id = $1 ORDER BY builds.created_at DESC, builds.id LIMIT $2 OFFSET $3"
    ));
    let rows = sqlx::query(sql).bind(app.to_string()).bind(page.limit).bind(page.offset).fetch_all(executor).await?;
    rows.iter().map(build).collect()
}

/// How many builds an app has.
pub async fn count<'c>(executor: impl AnyExecutor<'c>, app: AppId) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM builds WHERE app_id = $1")
        .bind(app.to_string())
        .fetch_one(executor)
        .await?;
    integer(&row, "n")
}

/// Whether a build of any other app came to the same slug.
pub async fn is_slug_shared<'c>(executor: impl AnyExecutor<'c>, slug: &str, app: AppId) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM builds WHERE slug = $1 AND app_id <> $2")
        .bind(slug)
        .bind(app.to_string())
        .fetch_one(executor)
        .await?;
    Ok(integer(&row, "n")? > 0)
}
