CREATE TABLE key_rotations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    tenant_id BIGINT NOT NULL,
    to_key TEXT NOT NULL,
    state TEXT NOT NULL,
    version BIGINT NOT NULL,
    spec TEXT NOT NULL,
    swept_to BIGINT NOT NULL,
    scanned BOOLEAN NOT NULL,
    look_at BIGINT,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX key_rotations_of_tenant ON key_rotations (tenant_id, seq);
-- One is open for a tenant at a time.
CREATE UNIQUE INDEX key_rotations_open ON key_rotations (tenant_id) WHERE ended_at IS NULL;
CREATE INDEX key_rotations_due ON key_rotations (look_at);

CREATE TABLE key_rotation_devices (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    rotation_id TEXT NOT NULL,
    eid TEXT NOT NULL,
    tenant_id BIGINT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    operation_id TEXT,
    reason TEXT,
    not_before BIGINT NOT NULL,
    begun_at BIGINT,
    ended_at BIGINT,
    UNIQUE (rotation_id, eid)
);
CREATE INDEX key_rotation_devices_by_state ON key_rotation_devices (rotation_id, state, not_before, seq);
CREATE INDEX key_rotation_devices_begun ON key_rotation_devices (rotation_id, begun_at);
