ALTER TABLE operations ADD COLUMN secret BLOB;

ALTER TABLE euiccs ADD COLUMN rules_authorisation_table TEXT;

CREATE TABLE download_sessions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL,
    eid TEXT NOT NULL,
    operation_id TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    address TEXT NOT NULL,
    phase TEXT NOT NULL,
    facts TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    touched_at BIGINT NOT NULL
);
CREATE INDEX download_sessions_by_transaction ON download_sessions (tenant_id, transaction_id);
CREATE INDEX download_sessions_by_eid ON download_sessions (tenant_id, eid, seq);
CREATE INDEX download_sessions_by_age ON download_sessions (touched_at);

CREATE TABLE notifications (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    tenant_id BIGINT NOT NULL,
    eid TEXT NOT NULL,
    identity BLOB NOT NULL,
    seq_number BIGINT NOT NULL,
    event TEXT NOT NULL,
    iccid BLOB,
    address TEXT NOT NULL,
    octets BLOB NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    last_error TEXT,
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    UNIQUE (tenant_id, eid, identity)
);
CREATE INDEX notifications_to_send ON notifications (tenant_id, address, state, seq);
CREATE INDEX notifications_by_eid ON notifications (tenant_id, eid, seq);
CREATE INDEX notifications_by_state ON notifications (tenant_id, state, seq);
CREATE INDEX notifications_by_end ON notifications (ended_at);

CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id BIGINT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    version BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    run_at BIGINT NOT NULL,
    handed_until BIGINT NOT NULL,
    lease_until BIGINT,
    lease_owner TEXT,
    last_error TEXT,
    created_at BIGINT NOT NULL,
    UNIQUE (tenant_id, kind, key)
);
CREATE INDEX jobs_due ON jobs (run_at);
