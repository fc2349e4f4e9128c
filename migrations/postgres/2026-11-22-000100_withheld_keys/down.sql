ALTER TABLE signing_keys DROP COLUMN withheld_at;
