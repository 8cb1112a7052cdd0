DROP INDEX trouble_by_due;
