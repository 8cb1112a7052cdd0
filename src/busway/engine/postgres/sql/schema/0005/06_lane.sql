CREATE TABLE lane (
    flow text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    start bigint NOT NULL CHECK (start >= 0),
    cursor bigint NOT NULL,
    delivered bigint NOT NULL DEFAULT 0 CHECK (delivered >= 0),
    filtered bigint NOT NULL DEFAULT 0 CHECK (filtered >= 0),
    parked bigint NOT NULL DEFAULT 0 CHECK (parked >= 0),
    dead bigint NOT NULL DEFAULT 0 CHECK (dead >= 0),
    discarded bigint NOT NULL DEFAULT 0 CHECK (discarded >= 0),
    worker text,
    fencing_token bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (flow, partition),
    CHECK (cursor - start = delivered + filtered + parked + dead + discarded)
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
