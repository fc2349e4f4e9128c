-- Whether a list told of the fallback attribute. What stood as false before may not have been told.
ALTER TABLE profiles ADD COLUMN fallback_told BOOLEAN NOT NULL DEFAULT TRUE;
UPDATE profiles SET fallback_told = fallback;
