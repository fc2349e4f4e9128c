UPDATE operations SET facts = COALESCE(json_extract(facts, '$.enabledBefore'), '[]');
ALTER TABLE operations RENAME COLUMN facts TO enabled_before;
