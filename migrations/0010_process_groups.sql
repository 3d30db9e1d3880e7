-- Process groups: one process type of one app each, with a life of its own where it was made by itself.

CREATE TABLE process_groups (
    id TEXT PRIMARY KEY,
    -- No foreign key to apps: a terminated group is listed for a while after its app is gone.
    app_id TEXT NOT NULL,
    process TEXT NOT NULL,
    -- Who made it. While there is the app, its owner is the group's.
    owner_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    unique_name TEXT NOT NULL,
    is_managed BIGINT NOT NULL,
    image TEXT NOT NULL,
    wanted BIGINT NOT NULL,
    should_run BIGINT NOT NULL,
    -- As given; null for the image's own.
    command TEXT,
    entrypoint TEXT,
    -- The image's own, JSON lists of words.
    image_command TEXT NOT NULL,
    image_entrypoint TEXT NOT NULL,
    -- JSON: inner port, protocol, outer port where one was asked for.
    ports TEXT NOT NULL,
    takes_image_ports BIGINT NOT NULL,
    size TEXT NOT NULL,
    memory_bytes BIGINT,
    cpu_shares BIGINT,
    restart_policy TEXT NOT NULL,
    replace_policy TEXT NOT NULL,
    destroy_policy TEXT NOT NULL,
    is_sequential BIGINT NOT NULL,
    -- JSON list of scopes.
    grants TEXT NOT NULL,
    -- JSON: how what the platform puts into containers is worded.
    terms TEXT NOT NULL,
    -- The host name of its own that was asked for.
    domain TEXT,
    created_at BIGINT NOT NULL,
    deployed_at BIGINT,
    started_at BIGINT,
    stopped_at BIGINT,
    destroyed_at BIGINT,
    UNIQUE (app_id, process)
);
CREATE INDEX process_groups_by_owner ON process_groups (owner_id, created_at);
CREATE INDEX process_groups_by_name ON process_groups (unique_name);

CREATE TABLE group_instances (
    id TEXT PRIMARY KEY,
    group_id TEXT NOT NULL REFERENCES process_groups (id) ON DELETE CASCADE,
    app_id TEXT NOT NULL,
    -- No foreign keys to apps and releases, for the same reason.
    release_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    state TEXT NOT NULL,
    is_automatic BIGINT NOT NULL,
    image TEXT NOT NULL,
    exit_code BIGINT,
    exit_message TEXT,
    -- What was put into its container, encrypted; the instance's id is bound into the encryption.
    sealed_environment BYTEA,
    -- Of the credential in its container.
    credential_digest TEXT UNIQUE,
    created_at BIGINT NOT NULL,
    deployed_at BIGINT,
    started_at BIGINT,
    stopped_at BIGINT,
    destroyed_at BIGINT
);
CREATE INDEX group_instances_by_group ON group_instances (group_id, number);
CREATE INDEX group_instances_by_app ON group_instances (app_id, state);
CREATE INDEX group_instances_by_state ON group_instances (state);

-- Ports of the host: each is one container's at most, from its deployment to its end.
CREATE TABLE published_ports (
    protocol TEXT NOT NULL,
    outer_port BIGINT NOT NULL,
    inner_port BIGINT NOT NULL,
    instance_id TEXT NOT NULL REFERENCES group_instances (id) ON DELETE CASCADE,
    PRIMARY KEY (protocol, outer_port)
);
CREATE INDEX published_ports_by_instance ON published_ports (instance_id);

CREATE TABLE group_links (
    from_id TEXT NOT NULL REFERENCES process_groups (id) ON DELETE CASCADE,
    -- The order in which they were given.
    position BIGINT NOT NULL,
    to_id TEXT NOT NULL REFERENCES process_groups (id) ON DELETE CASCADE,
    -- As given; null where the link was not named.
    name TEXT,
    PRIMARY KEY (from_id, position)
);
CREATE INDEX group_links_by_target ON group_links (to_id);
