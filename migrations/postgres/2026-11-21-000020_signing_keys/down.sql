DROP INDEX euiccs_by_signing_key;
ALTER TABLE euiccs DROP COLUMN key_facts;
ALTER TABLE euiccs DROP COLUMN signing_key;
ALTER TABLE euiccs DROP COLUMN eim_id;
DROP TABLE signing_keys;
