CREATE TABLE euiccs (
    seq BIGSERIAL PRIMARY KEY,
    tenant_id BIGINT NOT NULL,
    eid TEXT NOT NULL,
    version BIGINT NOT NULL,
    label TEXT,
    tags TEXT NOT NULL,
    result_policy TEXT NOT NULL,
    state TEXT NOT NULL,
    counter_value BIGINT NOT NULL,
    association_token BIGINT,
    eum_certificate BYTEA,
    euicc_certificate BYTEA,
    capabilities TEXT,
    last_seen_at BIGINT,
    poll_interval_ms BIGINT,
    r_plmn BYTEA,
    state_change_cause BIGINT,
    profiles_stale BOOLEAN NOT NULL,
    profiles_listed_at BIGINT,
    profiles_verified BOOLEAN NOT NULL,
    data_refreshed_at BIGINT,
    certificates_asked_at BIGINT,
    warnings TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (tenant_id, eid)
);

CREATE TABLE euicc_tags (
    tenant_id BIGINT NOT NULL,
    tag TEXT NOT NULL,
    eid TEXT NOT NULL,
    PRIMARY KEY (tenant_id, tag, eid)
);
CREATE INDEX euicc_tags_by_eid ON euicc_tags (tenant_id, eid);

CREATE TABLE operations (
    seq BIGSERIAL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant_id BIGINT NOT NULL,
    eid TEXT NOT NULL,
    kind TEXT NOT NULL,
    origin TEXT NOT NULL,
    purpose TEXT,
    subject_id TEXT,
    request TEXT NOT NULL,
    state TEXT NOT NULL,
    label TEXT,
    not_before BIGINT,
    valid_until BIGINT,
    created_at BIGINT NOT NULL,
    delivered_at BIGINT,
    completed_at BIGINT,
    attempts BIGINT NOT NULL,
    retries BIGINT NOT NULL,
    again_after BIGINT,
    counter_value BIGINT,
    eim_transaction_id TEXT,
    association_token BIGINT,
    package BYTEA,
    verified BOOLEAN,
    results TEXT NOT NULL,
    error TEXT,
    refusals TEXT NOT NULL,
    late_result TEXT,
    enabled_before TEXT NOT NULL,
    results_asked BOOLEAN NOT NULL,
    replayed BOOLEAN NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX operations_of_euicc_by_state ON operations (tenant_id, eid, state, seq);
CREATE INDEX operations_by_eid ON operations (tenant_id, eid, seq);
CREATE INDEX operations_by_state ON operations (tenant_id, state, seq);
CREATE INDEX operations_depths ON operations (state, kind, created_at);
CREATE INDEX operations_by_transaction ON operations (tenant_id, eim_transaction_id);
CREATE INDEX operations_by_counter ON operations (tenant_id, eid, counter_value);
CREATE INDEX operations_expiring ON operations (state, valid_until);

CREATE TABLE profiles (
    tenant_id BIGINT NOT NULL,
    eid TEXT NOT NULL,
    iccid BYTEA NOT NULL,
    enabled BOOLEAN,
    profile_class BIGINT,
    name TEXT,
    service_provider TEXT,
    fallback BOOLEAN NOT NULL,
    aid BYTEA,
    verified BOOLEAN NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, eid, iccid)
);

CREATE TABLE received (
    seq BIGSERIAL PRIMARY KEY,
    tenant_id BIGINT NOT NULL,
    eid TEXT NOT NULL,
    kind TEXT NOT NULL,
    seq_number BIGINT,
    digest BYTEA NOT NULL,
    identity BYTEA NOT NULL,
    raw BYTEA NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    operation_id TEXT,
    at BIGINT NOT NULL,
    UNIQUE (tenant_id, eid, digest)
);
CREATE INDEX received_by_identity ON received (tenant_id, eid, identity);
CREATE INDEX received_by_status ON received (tenant_id, eid, status, kind, seq);

CREATE TABLE events (
    seq BIGSERIAL PRIMARY KEY,
    tenant_id BIGINT NOT NULL,
    eid TEXT NOT NULL,
    at BIGINT NOT NULL,
    event_type TEXT NOT NULL,
    details TEXT NOT NULL
);
CREATE INDEX events_by_eid ON events (tenant_id, eid, seq);

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    tenant_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    key_digest BYTEA NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE idempotency (
    tenant_id BIGINT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    resource TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX idempotency_by_age ON idempotency (created_at);
