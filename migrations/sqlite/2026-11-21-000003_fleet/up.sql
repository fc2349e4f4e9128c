ALTER TABLE euiccs ADD COLUMN open_switch TEXT;

CREATE TABLE switches (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    tenant_id BIGINT NOT NULL,
    eid TEXT NOT NULL,
    campaign_id TEXT,
    label TEXT,
    plan TEXT NOT NULL,
    state TEXT NOT NULL,
    outcome TEXT,
    facts TEXT NOT NULL,
    deadline BIGINT,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT
);
CREATE INDEX switches_by_eid ON switches (tenant_id, eid, seq);
CREATE INDEX switches_by_state ON switches (tenant_id, state, seq);
CREATE INDEX switches_by_campaign ON switches (tenant_id, campaign_id, seq);
CREATE INDEX switches_due ON switches (deadline);

CREATE TABLE owner_policies (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    tenant_id BIGINT NOT NULL,
    policy TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX owner_policies_of_tenant ON owner_policies (tenant_id, seq);

CREATE TABLE campaigns (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    tenant_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    priority BIGINT NOT NULL,
    state TEXT NOT NULL,
    version BIGINT NOT NULL,
    spec TEXT NOT NULL,
    facts TEXT NOT NULL,
    look_at BIGINT,
    secret BLOB,
    created_at BIGINT NOT NULL
);
CREATE INDEX campaigns_of_tenant ON campaigns (tenant_id, seq);
CREATE INDEX campaigns_by_state ON campaigns (tenant_id, state, seq);
CREATE INDEX campaigns_due ON campaigns (look_at);

CREATE TABLE campaign_devices (
    campaign_id TEXT NOT NULL,
    eid TEXT NOT NULL,
    tenant_id BIGINT NOT NULL,
    priority BIGINT NOT NULL,
    position BIGINT NOT NULL,
    wave BIGINT NOT NULL,
    state TEXT NOT NULL,
    outcome TEXT,
    attempts BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    switch_id TEXT,
    reason TEXT,
    ended_at BIGINT,
    revert TEXT,
    revert_switch_id TEXT,
    PRIMARY KEY (campaign_id, eid)
);
CREATE INDEX campaign_devices_next ON campaign_devices (campaign_id, state, wave, not_before, position);
CREATE INDEX campaign_devices_counts ON campaign_devices (campaign_id, wave, state, outcome, attempts);
CREATE INDEX campaign_devices_reverts ON campaign_devices (campaign_id, revert, eid);
CREATE INDEX campaign_devices_by_eid ON campaign_devices (tenant_id, eid, state);

CREATE TABLE pools (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    tenant_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    low_water BIGINT NOT NULL,
    free BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (tenant_id, name)
);

CREATE TABLE pool_codes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    pool_id TEXT NOT NULL,
    tenant_id BIGINT NOT NULL,
    state TEXT NOT NULL,
    address TEXT NOT NULL,
    digest BLOB NOT NULL,
    secret BLOB NOT NULL,
    eid TEXT,
    switch_id TEXT,
    changed_at BIGINT NOT NULL,
    UNIQUE (tenant_id, digest)
);
CREATE INDEX pool_codes_free ON pool_codes (pool_id, state, seq);
CREATE INDEX pool_codes_of_switch ON pool_codes (switch_id);
