ALTER TABLE euiccs DROP COLUMN list_forced_at;
ALTER TABLE campaign_devices DROP COLUMN revert_reason;
ALTER TABLE campaign_devices DROP COLUMN reason_detail;
