DROP TABLE rule_firings;
DROP TABLE rule_readers;
DROP TABLE rules;
