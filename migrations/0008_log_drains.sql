-- Log drains: where else the log of an app goes.

CREATE TABLE log_drains (
    id TEXT PRIMARY KEY,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    -- The address, which may hold a password, encrypted; the drain's id is bound into the encryption.
    sealed_url BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX log_drains_by_app ON log_drains (app_id, created_at);
