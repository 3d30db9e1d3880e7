-- Rebases: what the host's command line asked of the server, and what came of it for each app.

CREATE TABLE rebases (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    -- Null until every app was looked at.
    finished_at BIGINT
);
CREATE INDEX rebases_by_end ON rebases (finished_at);

-- No foreign key to apps: the record outlives the app.
CREATE TABLE rebase_outcomes (
    rebase_id TEXT NOT NULL REFERENCES rebases (id) ON DELETE CASCADE,
    app_id TEXT NOT NULL,
    app_name TEXT NOT NULL,
    outcome TEXT NOT NULL,
    -- The release that it became, or why there is none.
    detail TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (rebase_id, app_id)
);
