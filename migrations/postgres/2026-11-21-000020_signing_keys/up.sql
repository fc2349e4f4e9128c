-- The signing keys that were ever in force, and which one of them each eUICC trusts. Rows from before get the first key at start.
CREATE TABLE signing_keys (
    seq BIGSERIAL PRIMARY KEY,
    key_id TEXT NOT NULL UNIQUE,
    eim_id TEXT NOT NULL,
    public_key BYTEA NOT NULL,
    first_seen_at BIGINT NOT NULL
);

ALTER TABLE euiccs ADD COLUMN eim_id TEXT;
ALTER TABLE euiccs ADD COLUMN signing_key TEXT;
ALTER TABLE euiccs ADD COLUMN key_facts TEXT;
CREATE INDEX euiccs_by_signing_key ON euiccs (signing_key);
