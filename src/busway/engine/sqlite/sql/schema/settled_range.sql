-- Ranges of settlements, merged where they touch and the version of the flow is the same.
CREATE TABLE settled_range (
    flow TEXT NOT NULL,
    partition INTEGER NOT NULL,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    version TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    filtered INTEGER NOT NULL,
    parked INTEGER NOT NULL,
    dead INTEGER NOT NULL,
    discarded INTEGER NOT NULL,
    PRIMARY KEY (flow, partition, start),
    CHECK ("end" - start = delivered + filtered + parked + dead + discarded)
) STRICT, WITHOUT ROWID;
