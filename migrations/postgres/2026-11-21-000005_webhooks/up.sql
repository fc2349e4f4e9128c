ALTER TABLE events ADD COLUMN subject TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN xid BIGINT NOT NULL DEFAULT (pg_current_xact_id()::text::bigint);
CREATE INDEX events_stream ON events (tenant_id, xid, seq);
CREATE INDEX events_by_time ON events (tenant_id, at, seq);

CREATE TABLE webhooks (
    seq BIGSERIAL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant_id BIGINT NOT NULL,
    source TEXT NOT NULL,
    url TEXT NOT NULL,
    types TEXT NOT NULL,
    eid TEXT,
    tags TEXT NOT NULL,
    description TEXT,
    enabled BOOLEAN NOT NULL,
    secret BYTEA NOT NULL,
    old_secret BYTEA,
    old_secret_until BIGINT,
    cursor_xid BIGINT NOT NULL,
    cursor_seq BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    failing_since BIGINT,
    head_failed_at BIGINT,
    next_attempt_at BIGINT,
    last_error TEXT,
    last_success_at BIGINT,
    delivered BIGINT NOT NULL,
    replay_from BIGINT,
    replay_to BIGINT,
    replay_at BIGINT,
    replay_seq BIGINT,
    created_at BIGINT NOT NULL
);
CREATE INDEX webhooks_of_tenant ON webhooks (tenant_id, seq);

CREATE TABLE webhook_deliveries (
    seq BIGSERIAL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant_id BIGINT NOT NULL,
    webhook_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    status BIGINT,
    last_error TEXT,
    created_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX webhook_deliveries_by_state ON webhook_deliveries (tenant_id, webhook_id, state, seq);
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (state, seq);
CREATE INDEX webhook_deliveries_by_end ON webhook_deliveries (ended_at);
