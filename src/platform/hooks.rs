//! What an operator's own builder, instead of the built-in one, asks for on behalf of a pusher (Deis, spec §15).

use super::users::known;
use super::{AppHandle, Error, Platform};
use crate::model::{BuilderKey, PushReport, ReportedPush};
use crate::store::pushes;

impl Platform {
    /// The secret of the operator's builder; `None` when there is no such builder.
    pub fn builder_key(&self) -> Option<&BuilderKey> {
        self.0.settings.builder_key.as_ref()
    }

    /// The app that `user` pushes to.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such user or app, [`Error::Forbidden`] when the user may not push to it.
    pub async fn pushed_app(&self, user: &str, app: &str) -> Result<AppHandle, Error> {
        self.app_or_refusal(&known(&self.0.store, user).await?, app).await
    }

    /// Records that somebody pushed.
    pub async fn record_push(&self, handle: &AppHandle, report: &PushReport) -> Result<ReportedPush, Error> {
        let (app, user) = (handle.app(), handle.user());
        let push = pushes::insert(self.0.store.pool(), app.id, user.id, report).await?;
        let short = report.sha.get(..7).unwrap_or(&report.sha);
        self.0.logs.note(app.id, "api", &format!("{} pushed {short}", user.username));
        Ok(push)
    }
}
