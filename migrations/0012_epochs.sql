-- Counts how often access was taken away: from an account (a changed password), from an app (a collaborator removed, the app given
-- away). Whatever outlives a request remembers the count that it began under, and ends once that is past.

ALTER TABLE users ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE apps ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;
