-- The last append of each process: an abandoned statement cannot take effect after a later one.
CREATE TABLE appender (id uuid PRIMARY KEY, sequence bigint NOT NULL, at timestamptz NOT NULL)
WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
