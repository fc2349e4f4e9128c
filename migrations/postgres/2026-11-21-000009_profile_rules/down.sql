ALTER TABLE profiles DROP COLUMN ppr1;
ALTER TABLE profiles DROP COLUMN ppr2;
ALTER TABLE profiles DROP COLUMN owner_mcc_mnc;
