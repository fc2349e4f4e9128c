ALTER TABLE campaign_devices DROP COLUMN reason_detail;
