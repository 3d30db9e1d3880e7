-- Keys of the API under /api/v1. Only their digests are kept.

CREATE TABLE api_keys (
    digest TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL
);

CREATE INDEX api_keys_by_user ON api_keys (user_id, created_at);
