-- The keys that are given to no eUICC any more, since a backup was restored: more may have been signed with them than is known.
ALTER TABLE signing_keys ADD COLUMN withheld_at BIGINT;
