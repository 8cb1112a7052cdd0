-- Base and end of each partition. An append locks the row until its commit, so that
-- offsets become visible in their own order: a reader never misses a batch.
CREATE TABLE partition (
    partition integer PRIMARY KEY,
    base bigint NOT NULL DEFAULT 0,
    "end" bigint NOT NULL DEFAULT 0,
    size bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
