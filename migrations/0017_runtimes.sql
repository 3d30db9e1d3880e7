-- The runtimes that a build was made with and runs on, beside the stack's own: a JSON list. Nothing for a build that asked for
-- none, and for those from before.

ALTER TABLE builds ADD COLUMN runtimes TEXT;
