-- Why a device of a campaign ended so, as the API shows it; the column reason keeps its name alone.
ALTER TABLE campaign_devices ADD COLUMN reason_detail TEXT;
-- Why moving a device back ended so.
ALTER TABLE campaign_devices ADD COLUMN revert_reason TEXT;
-- When a list of profiles was last put before what takes something away.
ALTER TABLE euiccs ADD COLUMN list_forced_at BIGINT;
