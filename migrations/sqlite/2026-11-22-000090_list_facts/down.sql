ALTER TABLE euiccs DROP COLUMN list_facts;
