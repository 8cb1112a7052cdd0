DROP INDEX trouble_by_cause;
