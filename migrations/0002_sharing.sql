-- Sharing: who may work with an app beside its owner.

CREATE TABLE collaborators (
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (app_id, user_id)
);
CREATE INDEX collaborators_by_user ON collaborators (user_id);

-- Deleting a row looks for what refers to it: without these that reads whole tables.
CREATE INDEX releases_by_owner ON releases (owner_id);
CREATE INDEX releases_by_build ON releases (build_id);
CREATE INDEX releases_by_config ON releases (config_id);
CREATE INDEX builds_by_owner ON builds (owner_id);
CREATE INDEX configs_by_owner ON configs (owner_id);
CREATE INDEX instances_by_release ON instances (release_id);

-- What lists and the watch over destructions read, however many apps there are.
CREATE INDEX apps_by_destroying ON apps (is_destroying);
CREATE INDEX apps_by_creation ON apps (created_at, id);

-- What was posted as the Dockerfile of an image that was built elsewhere.
ALTER TABLE builds ADD COLUMN dockerfile TEXT NOT NULL DEFAULT '';

-- Pushes that a builder of the operator's own reported.
CREATE TABLE pushes (
    id TEXT PRIMARY KEY,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    owner_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    sha TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    receive_user TEXT NOT NULL,
    receive_repo TEXT NOT NULL,
    ssh_connection TEXT NOT NULL,
    ssh_original_command TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX pushes_by_app ON pushes (app_id);
CREATE INDEX pushes_by_owner ON pushes (owner_id);
