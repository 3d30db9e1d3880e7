-- Who gave a log drain to an app: it goes when they lose access. Of drains from before nobody knows.

ALTER TABLE log_drains ADD COLUMN added_by TEXT;
