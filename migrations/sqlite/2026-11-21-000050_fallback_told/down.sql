ALTER TABLE profiles DROP COLUMN fallback_told;
