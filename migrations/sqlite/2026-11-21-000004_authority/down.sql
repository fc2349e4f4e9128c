DROP TABLE decisions;
DROP TABLE grants;
DROP TABLE profile_owners;
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    tenant_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    key_digest BLOB NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);
INSERT INTO keys (id, tenant_id, name, role, key_digest, created_at)
    SELECT id, tenant_id, name, role, key_digest, created_at FROM api_keys;
DROP TABLE api_keys;
ALTER TABLE keys RENAME TO api_keys;
CREATE INDEX download_sessions_by_transaction ON download_sessions (tenant_id, transaction_id);
DROP INDEX download_sessions_of_transaction;
CREATE INDEX operations_by_transaction ON operations (tenant_id, eim_transaction_id);
DROP INDEX operations_of_transaction;
DROP INDEX euiccs_by_eid;
DROP TABLE tenants;
