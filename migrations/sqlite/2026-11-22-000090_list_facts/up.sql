-- What is known of the age of the list of profiles. It takes the place of list_forced_at, which stays for nodes of the version before.
ALTER TABLE euiccs ADD COLUMN list_facts TEXT;
