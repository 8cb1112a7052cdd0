CREATE TABLE settled_range (
    flow text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    start bigint NOT NULL,
    "end" bigint NOT NULL,
    version text NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    delivered bigint NOT NULL,
    filtered bigint NOT NULL,
    parked bigint NOT NULL,
    dead bigint NOT NULL,
    discarded bigint NOT NULL,
    PRIMARY KEY (flow, partition, start),
    CHECK ("end" - start = delivered + filtered + parked + dead + discarded)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
