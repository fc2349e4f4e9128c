-- What is known of an operation beside its columns, as one object: the profiles that were enabled before, and the epoch of the
-- association under which its package was signed.
ALTER TABLE operations RENAME COLUMN enabled_before TO facts;
UPDATE operations SET facts = CASE WHEN facts = '[]' THEN '{}' ELSE '{"enabledBefore":' || facts || '}' END;
