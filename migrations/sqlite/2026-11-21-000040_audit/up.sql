-- Records are written with their cause and never changed. They get their place in the chain by a row in audit_links.
CREATE TABLE audit_records (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    xid BIGINT NOT NULL DEFAULT 0,
    tenant_id BIGINT NOT NULL,
    at BIGINT NOT NULL,
    record_type TEXT NOT NULL,
    eid TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX audit_records_stream ON audit_records (tenant_id, xid, seq);
CREATE INDEX audit_records_of_euicc ON audit_records (tenant_id, eid, record_type, at);

CREATE TABLE audit_links (
    tenant_id BIGINT NOT NULL,
    position BIGINT NOT NULL,
    record_seq BIGINT NOT NULL UNIQUE,
    link BLOB NOT NULL,
    PRIMARY KEY (tenant_id, position)
);

CREATE TABLE audit_chains (
    tenant_id BIGINT PRIMARY KEY,
    position BIGINT NOT NULL,
    link BLOB NOT NULL,
    cursor_xid BIGINT NOT NULL,
    cursor_seq BIGINT NOT NULL
);

CREATE TABLE audit_checkpoints (
    tenant_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    position BIGINT NOT NULL,
    at BIGINT NOT NULL,
    statement TEXT NOT NULL,
    public_key TEXT NOT NULL,
    signature TEXT NOT NULL,
    PRIMARY KEY (tenant_id, number)
);
CREATE INDEX audit_checkpoints_by_position ON audit_checkpoints (tenant_id, position);
