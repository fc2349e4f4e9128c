DROP TABLE audit_checkpoints;
DROP TABLE audit_chains;
DROP TABLE audit_links;
DROP TABLE audit_records;
