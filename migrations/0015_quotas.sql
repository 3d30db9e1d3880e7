-- What an administrator set for one account in place of the operator's defaults; 0 is no limit.
CREATE TABLE quotas (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (user_id, kind)
);

-- Ports of the host outside of the operator's range that an account may publish all the same.
CREATE TABLE port_grants (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    port BIGINT NOT NULL,
    PRIMARY KEY (user_id, port)
);

-- What the app will have when the operation has succeeded: kept for it against other requests of the account while it is live.
ALTER TABLE operations ADD COLUMN wanted_instances BIGINT NOT NULL DEFAULT 0;
ALTER TABLE operations ADD COLUMN wanted_memory BIGINT NOT NULL DEFAULT 0;
