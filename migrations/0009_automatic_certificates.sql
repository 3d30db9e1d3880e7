-- Certificates that the platform gets by itself from an authority (ACME, RFC 8555).

CREATE TABLE acme_accounts (
    -- URL of the authority's directory.
    directory TEXT PRIMARY KEY,
    -- The account's URL and key as JSON, encrypted; the directory is bound into the encryption.
    sealed_credentials BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE automatic_certificates (
    -- The host name that it is for, and made out to alone.
    name TEXT PRIMARY KEY,
    -- PEM, the leaf first; null until there is one.
    chain TEXT,
    -- PKCS#8 in PEM, encrypted; the name is bound into the encryption.
    sealed_key BYTEA,
    expires_at BIGINT,
    -- When to ask for it, or for the one after it.
    next_try_at BIGINT NOT NULL,
    -- In a row.
    failures BIGINT NOT NULL,
    -- What the authority said to the last try, empty when that succeeded.
    last_error TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);
