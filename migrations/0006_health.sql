-- What a build says of the health of its instances.

-- JSON; null for builds that say nothing.
ALTER TABLE builds ADD COLUMN health TEXT;
