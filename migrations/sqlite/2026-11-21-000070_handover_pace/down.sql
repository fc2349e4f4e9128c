DROP INDEX handover_devices_by_begin;
DROP INDEX handover_devices_by_stand;
ALTER TABLE handover_devices DROP COLUMN retry_to;
ALTER TABLE handover_devices DROP COLUMN added_at;
ALTER TABLE handover_devices DROP COLUMN begun_at;
ALTER TABLE handovers DROP COLUMN rate_per_minute;
