DROP TABLE idempotency;
DROP TABLE api_keys;
DROP TABLE events;
DROP TABLE received;
DROP TABLE profiles;
DROP TABLE operations;
DROP TABLE euicc_tags;
DROP TABLE euiccs;
