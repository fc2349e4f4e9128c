DROP TABLE webhook_deliveries;
DROP TABLE webhooks;
DROP INDEX events_by_time;
DROP INDEX events_stream;
ALTER TABLE events DROP COLUMN xid;
ALTER TABLE events DROP COLUMN subject;
