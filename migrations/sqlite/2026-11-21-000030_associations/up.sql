-- What is known of our own association beside counter and token (JSON; absent: nothing yet). One that the eUICC answered
-- under before counts as proven.
ALTER TABLE euiccs ADD COLUMN own_association TEXT;
UPDATE euiccs SET own_association = (
    SELECT '{"provenAt":' || max(operations.completed_at) || '}'
    FROM operations
    WHERE operations.tenant_id = euiccs.tenant_id AND operations.eid = euiccs.eid
        AND operations.kind IN ('psmo', 'eco') AND operations.verified AND operations.completed_at IS NOT NULL
);

-- The other eIMs on an eUICC, as verified results tell them.
CREATE TABLE other_eims (
    tenant_id BIGINT NOT NULL,
    eid TEXT NOT NULL,
    eim_id TEXT NOT NULL,
    eim_id_type BIGINT,
    eim_fqdn TEXT,
    supported_protocol TEXT NOT NULL,
    association_token BIGINT,
    counter_value BIGINT,
    key_sha256 BLOB,
    learned_by TEXT NOT NULL,
    state TEXT NOT NULL,
    operation_id TEXT,
    learned_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, eid, eim_id)
);
