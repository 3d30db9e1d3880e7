-- Custom domains, and the certificates to serve them with.

CREATE TABLE domains (
    -- The host name, or a wildcard below one: on this server it is one app's.
    name TEXT PRIMARY KEY,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    -- Who added it. The domain is the app's and stays when that account goes.
    added_by TEXT REFERENCES users (id) ON DELETE SET NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX domains_by_app ON domains (app_id, created_at);

CREATE TABLE certificates (
    id TEXT PRIMARY KEY,
    -- What people see as the id; never given out twice.
    number BIGINT NOT NULL UNIQUE,
    owner_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    common_name TEXT NOT NULL UNIQUE,
    -- PEM, the leaf first.
    chain TEXT NOT NULL,
    -- PKCS#8, PKCS#1 or SEC1 in PEM, encrypted; the certificate's id is bound into the encryption.
    sealed_key BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX certificates_by_owner ON certificates (owner_id, created_at);
