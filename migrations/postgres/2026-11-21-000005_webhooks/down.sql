DROP INDEX events_stream;
ALTER TABLE events DROP COLUMN xid;
ALTER TABLE events DROP COLUMN subject;
