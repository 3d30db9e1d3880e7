-- Scheduled commands.

-- What the build asks to be run when, as JSON; a release has the schedule of its build.
ALTER TABLE builds ADD COLUMN cron TEXT;

-- When each task of an app's current release is due next. Replaced in the transaction that switches releases.
CREATE TABLE cron_tasks (
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    schedule TEXT NOT NULL,
    zone TEXT NOT NULL,
    -- Null while the task is paused.
    next_at BIGINT,
    PRIMARY KEY (app_id, id)
);
CREATE INDEX cron_tasks_by_next ON cron_tasks (next_at);

-- Runs: recorded before anything of them is in the engine.
CREATE TABLE cron_runs (
    -- The container carries it as a label.
    id TEXT PRIMARY KEY,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    -- The account that it counts for: whose the app was when it was due.
    owner_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    -- 1 and up within the app.
    number BIGINT NOT NULL,
    -- When it was due; null for one that somebody asked for.
    scheduled_at BIGINT,
    state TEXT NOT NULL,
    -- The release that it runs on.
    version BIGINT,
    exit_status BIGINT,
    detail TEXT NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT
);
-- Of each moment of a task there is one run.
CREATE UNIQUE INDEX cron_runs_by_time ON cron_runs (app_id, task_id, scheduled_at);
CREATE UNIQUE INDEX cron_runs_by_number ON cron_runs (app_id, number);
CREATE INDEX cron_runs_by_state ON cron_runs (state, owner_id, created_at);
