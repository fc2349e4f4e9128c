UPDATE operations SET facts = COALESCE((facts::json -> 'enabledBefore')::text, '[]');
ALTER TABLE operations RENAME COLUMN facts TO enabled_before;
