CREATE TABLE tenants (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);
INSERT INTO tenants (name, created_at) VALUES ('default', 0);

CREATE UNIQUE INDEX euiccs_by_eid ON euiccs (eid);
CREATE INDEX operations_of_transaction ON operations (eim_transaction_id);
DROP INDEX operations_by_transaction;
CREATE INDEX download_sessions_of_transaction ON download_sessions (transaction_id);
DROP INDEX download_sessions_by_transaction;

CREATE TABLE keys (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    tenant_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    key_digest BLOB NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    scopes TEXT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    last_used_at BIGINT,
    previous_digest BLOB,
    previous_until BIGINT
);
INSERT INTO keys (id, tenant_id, name, role, key_digest, created_at, scopes)
    SELECT id, tenant_id, name, role, key_digest, created_at, '[]' FROM api_keys ORDER BY created_at, id;
DROP TABLE api_keys;
ALTER TABLE keys RENAME TO api_keys;
CREATE INDEX api_keys_of_tenant ON api_keys (tenant_id, seq);
CREATE INDEX api_keys_by_previous ON api_keys (previous_digest);

CREATE TABLE profile_owners (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    tenant_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    claims TEXT NOT NULL,
    confirmed_at BIGINT,
    created_at BIGINT NOT NULL
);
CREATE INDEX profile_owners_of_tenant ON profile_owners (tenant_id, seq);

CREATE TABLE grants (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    tenant_id BIGINT NOT NULL,
    grantee_id BIGINT NOT NULL,
    owner_id TEXT NOT NULL,
    profile_class TEXT,
    actions TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX grants_of_tenant ON grants (tenant_id, seq);
CREATE INDEX grants_of_grantee ON grants (grantee_id, seq);

CREATE TABLE decisions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL,
    at BIGINT NOT NULL,
    key_id TEXT NOT NULL,
    key_name TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    authority TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT
);
CREATE INDEX decisions_of_tenant ON decisions (tenant_id, seq);
