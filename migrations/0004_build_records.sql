-- What is known of each attempt to build, the refused ones too. The id is the build's, which may have come to nothing.
CREATE TABLE build_records (
    id TEXT PRIMARY KEY,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    actor TEXT NOT NULL,
    status TEXT NOT NULL,
    source_kind TEXT NOT NULL,
    source TEXT NOT NULL,
    reused_id TEXT,
    digest TEXT,
    size_bytes BIGINT,
    phases TEXT NOT NULL,
    error TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX build_records_by_app ON build_records (app_id, started_at);
