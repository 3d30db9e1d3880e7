-- How the router treats an app's requests: what was chosen, one row each. A setting without a row has its default.

CREATE TABLE routing_settings (
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    field TEXT NOT NULL,
    -- `true`, `redirect`, `4096`, or a page.
    value TEXT NOT NULL,
    PRIMARY KEY (app_id, field)
);
