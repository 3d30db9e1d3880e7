//! Pushes that an operator's own builder reported.

use sqlx::AnyExecutor;

use super::StoreError;
use crate::model::{AppId, PushId, PushReport, ReportedPush, Timestamp, UserId};

/// Records a push.
pub async fn insert<'c>(
    executor: impl AnyExecutor<'c>,
    app: AppId,
    owner: UserId,
    report: &PushReport,
) -> Result<ReportedPush, StoreError> {
    let push = ReportedPush { id: PushId::new(), created_at: Timestamp::now() };
    sqlx::query(
        "INSERT INTO pushes (id, app_id, owner_id, sha, fingerprint, receive_user, receive_repo, ssh_connection, \
         ssh_original_command, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(push.id.to_string())
    .bind(app.to_string())
    .bind(owner.to_string())
    .bind(&report.sha)
    .bind(&report.fingerprint)
    .bind(&report.receive_user)
    .bind(&report.receive_repo)
    .bind(&report.ssh_connection)
    .bind(&report.ssh_original_command)
    .bind(push.created_at.millis())
    .execute(executor)
    .await?;
    Ok(push)
}
