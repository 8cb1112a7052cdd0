DROP INDEX trouble_by_key;
