DROP TABLE jobs;
DROP TABLE notifications;
DROP TABLE download_sessions;
ALTER TABLE euiccs DROP COLUMN rules_authorisation_table;
ALTER TABLE operations DROP COLUMN secret;
