ALTER TABLE handovers ADD COLUMN rate_per_minute BIGINT NOT NULL DEFAULT 600;
ALTER TABLE handover_devices ADD COLUMN begun_at BIGINT;
ALTER TABLE handover_devices ADD COLUMN added_at BIGINT;
ALTER TABLE handover_devices ADD COLUMN retry_to TEXT;
-- Only behind a proof deleteEim may have been delivered.
UPDATE handover_devices SET retry_to = 'queued' WHERE state = 'failed' AND proof IS NULL;
CREATE INDEX handover_devices_by_stand ON handover_devices (handover_id, state, seq);
CREATE INDEX handover_devices_by_begin ON handover_devices (handover_id, begun_at);
