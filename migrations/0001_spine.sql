-- The spine: people, apps, builds, releases, instances, operations.
-- Portable SQL only; README.md beside this file has the rules. Times are milliseconds since the epoch, flags are 0 or 1.

CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    number BIGINT NOT NULL UNIQUE,
    username TEXT NOT NULL UNIQUE,
    email TEXT NOT NULL,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    is_superuser BIGINT NOT NULL,
    is_active BIGINT NOT NULL,
    -- What the user's API token is derived from; the token itself is nowhere.
    token_seed TEXT NOT NULL,
    token_digest TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    last_login_at BIGINT NOT NULL
);

CREATE TABLE ssh_keys (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    public TEXT NOT NULL,
    fingerprint TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    UNIQUE (user_id, name)
);

CREATE TABLE apps (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    owner_id TEXT NOT NULL REFERENCES users (id),
    is_destroying BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX apps_by_owner ON apps (owner_id, created_at);

CREATE TABLE configs (
    id TEXT PRIMARY KEY,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    owner_id TEXT NOT NULL REFERENCES users (id),
    -- JSON object, encrypted; the config's id is bound into the encryption.
    sealed_values BYTEA NOT NULL,
    limits TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX configs_by_app ON configs (app_id);

CREATE TABLE builds (
    id TEXT PRIMARY KEY,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    owner_id TEXT NOT NULL REFERENCES users (id),
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    image TEXT NOT NULL,
    engine_image TEXT NOT NULL,
    commit_id TEXT,
    fingerprint TEXT,
    slug TEXT,
    procfile TEXT NOT NULL,
    port BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX builds_by_app ON builds (app_id, created_at);
CREATE INDEX builds_by_fingerprint ON builds (app_id, fingerprint);
CREATE INDEX builds_by_slug ON builds (slug);

CREATE TABLE releases (
    id TEXT PRIMARY KEY,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    owner_id TEXT NOT NULL REFERENCES users (id),
    version BIGINT NOT NULL,
    build_id TEXT REFERENCES builds (id),
    config_id TEXT NOT NULL REFERENCES configs (id),
    status TEXT NOT NULL,
    summary TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (app_id, version)
);

CREATE TABLE formations (
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    process TEXT NOT NULL,
    wanted BIGINT NOT NULL,
    PRIMARY KEY (app_id, process)
);

CREATE TABLE instances (
    id TEXT PRIMARY KEY,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    release_id TEXT NOT NULL REFERENCES releases (id),
    process TEXT NOT NULL,
    number BIGINT NOT NULL,
    state TEXT NOT NULL,
    operation_id TEXT NOT NULL,
    address TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX instances_by_app ON instances (app_id, state);

-- No foreign key to apps: the record outlives the app.
CREATE TABLE operations (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    app_id TEXT NOT NULL,
    app_name TEXT NOT NULL,
    actor TEXT NOT NULL,
    -- The app's id while the operation is live, null afterwards: the per-app lock.
    lock_key TEXT UNIQUE,
    status TEXT NOT NULL,
    step TEXT NOT NULL,
    release_id TEXT,
    error TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    heartbeat_at BIGINT NOT NULL,
    finished_at BIGINT
);
CREATE INDEX operations_by_app ON operations (app_id, started_at);
