CREATE TABLE desired_states (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    tenant_id BIGINT NOT NULL,
    eid TEXT,
    version BIGINT NOT NULL,
    spec TEXT NOT NULL,
    obtain TEXT,
    secret BLOB,
    sweep_at BIGINT,
    swept_to BIGINT NOT NULL,
    bad_outcomes BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    UNIQUE (tenant_id, eid)
);
CREATE INDEX desired_states_of_tenant ON desired_states (tenant_id, seq);
CREATE INDEX desired_states_to_sweep ON desired_states (sweep_at);

CREATE TABLE desired_devices (
    tenant_id BIGINT NOT NULL,
    eid TEXT NOT NULL,
    version BIGINT NOT NULL,
    state_id TEXT,
    drift TEXT NOT NULL,
    correcting TEXT NOT NULL,
    look_at BIGINT,
    facts TEXT NOT NULL,
    PRIMARY KEY (tenant_id, eid)
);
CREATE INDEX desired_devices_due ON desired_devices (look_at);
CREATE INDEX desired_devices_of_state ON desired_devices (state_id, eid);
CREATE INDEX desired_devices_counts ON desired_devices (state_id, drift, correcting);
