DROP INDEX audit_by_target;
