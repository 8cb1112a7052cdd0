-- Few rows, some of them written twice a second.
CREATE TABLE named_value (name text COLLATE "C" PRIMARY KEY, value bytea NOT NULL)
WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
