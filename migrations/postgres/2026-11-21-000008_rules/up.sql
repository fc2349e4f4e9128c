CREATE TABLE rules (
    seq BIGSERIAL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    version BIGINT NOT NULL,
    spec TEXT NOT NULL,
    secret BYTEA,
    created_by TEXT NOT NULL,
    since_xid BIGINT NOT NULL,
    since_seq BIGINT NOT NULL,
    since_at BIGINT NOT NULL,
    stopped_at BIGINT,
    look_at BIGINT,
    scan_after BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX rules_of_tenant ON rules (tenant_id, seq);
CREATE INDEX rules_due ON rules (look_at);

CREATE TABLE rule_readers (
    tenant_id BIGINT PRIMARY KEY,
    cursor_xid BIGINT NOT NULL,
    cursor_seq BIGINT NOT NULL,
    revision BIGINT NOT NULL
);

CREATE TABLE rule_firings (
    seq BIGSERIAL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant_id BIGINT NOT NULL,
    rule_id TEXT NOT NULL,
    rule_version BIGINT NOT NULL,
    eid TEXT NOT NULL,
    at BIGINT NOT NULL,
    cause TEXT NOT NULL,
    event TEXT NOT NULL,
    chain TEXT NOT NULL,
    outcome TEXT NOT NULL,
    steps TEXT NOT NULL,
    step BIGINT NOT NULL,
    repeats BIGINT NOT NULL,
    next_attempt_at BIGINT,
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    UNIQUE (rule_id, cause)
);
CREATE INDEX rule_firings_of_rule ON rule_firings (rule_id, seq);
CREATE INDEX rule_firings_of_device ON rule_firings (rule_id, eid, at);
CREATE INDEX rule_firings_by_time ON rule_firings (rule_id, at);
CREATE INDEX rule_firings_due ON rule_firings (next_attempt_at);
CREATE INDEX rule_firings_by_end ON rule_firings (ended_at);
