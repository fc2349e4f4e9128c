DROP TABLE pool_codes;
DROP TABLE pools;
DROP TABLE campaign_devices;
DROP TABLE campaigns;
DROP TABLE owner_policies;
DROP TABLE switches;
ALTER TABLE euiccs DROP COLUMN open_switch;
