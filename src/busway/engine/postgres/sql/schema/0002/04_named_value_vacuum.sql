-- Few rows, some of them written twice a second.
ALTER TABLE named_value SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
