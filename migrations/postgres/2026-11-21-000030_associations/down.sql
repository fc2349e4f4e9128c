DROP TABLE other_eims;
ALTER TABLE euiccs DROP COLUMN own_association;
