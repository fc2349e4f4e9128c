CREATE TABLE handovers (
    seq BIGSERIAL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant_id BIGINT NOT NULL,
    eim_id TEXT NOT NULL,
    configuration TEXT NOT NULL,
    delete_own BOOLEAN NOT NULL,
    state TEXT NOT NULL,
    devices BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX handovers_of_tenant ON handovers (tenant_id, seq);
CREATE INDEX handovers_by_state ON handovers (state);

CREATE TABLE handover_devices (
    seq BIGSERIAL PRIMARY KEY,
    handover_id TEXT NOT NULL,
    tenant_id BIGINT NOT NULL,
    eid TEXT NOT NULL,
    state TEXT NOT NULL,
    operation_id TEXT,
    token BIGINT,
    proof TEXT,
    reason TEXT,
    changed_at BIGINT NOT NULL,
    UNIQUE (handover_id, eid)
);
CREATE INDEX handover_devices_of_handover ON handover_devices (handover_id, seq);
CREATE INDEX handover_devices_by_state ON handover_devices (state, seq);
CREATE INDEX handover_devices_by_eid ON handover_devices (tenant_id, eid);
