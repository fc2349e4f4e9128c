DROP INDEX euicc_tags_by_eid;
CREATE INDEX euicc_tags_by_eid ON euicc_tags (tenant_id, eid);
