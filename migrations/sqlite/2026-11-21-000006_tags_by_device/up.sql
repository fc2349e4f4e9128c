-- With the tag in it the index answers "the tags of this device, sorted" alone. Without, SQLite reads all tags of the
-- tenant at each registration and each change.
DROP INDEX euicc_tags_by_eid;
CREATE INDEX euicc_tags_by_eid ON euicc_tags (tenant_id, eid, tag);
