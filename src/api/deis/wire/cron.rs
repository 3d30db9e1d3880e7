//! Scheduled commands, as this API shows them.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::deis::openapi::words::{Moment, Uuid};
use crate::model::{self, Timestamp};
use crate::platform::CronTaskView;

/// A command that is run by a schedule.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "app": "hello", "id": "backup", "command": "./backup --all", "schedule": "30 4 * * *", "timezone": "Europe/Berlin",
    "concurrency_policy": "forbid", "maintenance": false, "next_run": "2014-01-02T03:30:00UTC",
    "last_run": {
        "uuid": "de1bf5b5-4a72-4f94-a10c-d2a3741cdf75", "process": "cron.7", "release": "v4", "state": "succeeded",
        "exit_status": 0, "detail": "", "due": "2014-01-01T03:30:00UTC", "created": "2014-01-01T03:30:00UTC",
        "started": "2014-01-01T03:30:01UTC", "ended": "2014-01-01T03:30:09UTC",
    },
})))]
pub(in super::super) struct CronTask {
    app: String,
    /// Names it within the app.
    id: String,
    command: String,
    /// Five fields of crontab(5), or a nickname.
    schedule: String,
    /// Name in the IANA database.
    timezone: String,
    /// What becomes of a run that is due while another one goes on: `allow`, `forbid` or `replace`.
    concurrency_policy: &'static str,
    /// Whether it is paused.
    maintenance: bool,
    /// When it is due next; null while it is paused.
    #[schema(value_type = Option<Moment>)]
    next_run: Option<String>,
    /// The newest of its runs; null before the first.
    last_run: Option<CronRun>,
}

/// One run of a scheduled command.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "uuid": "de1bf5b5-4a72-4f94-a10c-d2a3741cdf75", "process": "cron.8", "release": null, "state": "waiting", "exit_status": null,
    "detail": "", "due": null, "created": "2014-01-01T12:00:00UTC", "started": null, "ended": null,
})))]
pub(in super::super) struct CronRun {
    #[schema(value_type = Uuid)]
    uuid: String,
    /// What the app's log calls it.
    process: String,
    /// The release that it runs on; null while it waits.
    release: Option<String>,
    /// `waiting`, `starting`, `running`, `succeeded`, `failed` or `cancelled`.
    state: &'static str,
    /// How its command ended.
    exit_status: Option<i64>,
    /// Why it ended as it did, where the status does not say it.
    detail: String,
    /// When it was due; null for one that somebody asked for.
    #[schema(value_type = Option<Moment>)]
    due: Option<String>,
    #[schema(value_type = Moment)]
    created: String,
    #[schema(value_type = Option<Moment>)]
    started: Option<String>,
    #[schema(value_type = Option<Moment>)]
    ended: Option<String>,
}

impl CronTask {
    pub(in super::super) fn new(app: &model::App, CronTaskView { task, next_at, last_run }: CronTaskView) -> Self {
        Self {
            app: app.name.to_string(),
            id: task.id.to_string(),
            command: task.command,
            schedule: task.schedule.to_string(),
            timezone: task.zone.to_string(),
            concurrency_policy: task.policy.as_str(),
            maintenance: task.is_paused,
            next_run: next_at.map(Timestamp::deis),
            last_run: last_run.map(CronRun::from),
        }
    }
}

impl From<model::CronRun> for CronRun {
    fn from(run: model::CronRun) -> Self {
        Self {
            uuid: run.id.to_string(),
            process: run.label(),
            release: run.version.map(|version| format!("v{version}")),
            state: run.state.as_str(),
            exit_status: run.exit_status,
            detail: run.detail,
            due: run.scheduled_at.map(Timestamp::deis),
            created: run.created_at.deis(),
            started: run.started_at.map(Timestamp::deis),
            ended: run.ended_at.map(Timestamp::deis),
        }
    }
}
