-- What ProfileInfo tells of PPR1 and PPR2 (absent: not asked for yet), and MCC and MNC of profileOwner.
ALTER TABLE profiles ADD COLUMN ppr1 BOOLEAN;
ALTER TABLE profiles ADD COLUMN ppr2 BOOLEAN;
ALTER TABLE profiles ADD COLUMN owner_mcc_mnc TEXT;
