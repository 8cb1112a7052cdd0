-- One flow on one partition; the CHECK keeps its counts equal to what it has read.
CREATE TABLE lane (
    flow TEXT NOT NULL,
    partition INTEGER NOT NULL,
    start INTEGER NOT NULL CHECK (start >= 0),
    cursor INTEGER NOT NULL,
    delivered INTEGER NOT NULL DEFAULT 0 CHECK (delivered >= 0),
    filtered INTEGER NOT NULL DEFAULT 0 CHECK (filtered >= 0),
    parked INTEGER NOT NULL DEFAULT 0 CHECK (parked >= 0),
    dead INTEGER NOT NULL DEFAULT 0 CHECK (dead >= 0),
    discarded INTEGER NOT NULL DEFAULT 0 CHECK (discarded >= 0),
    worker TEXT,
    fencing_token INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (flow, partition),
    CHECK (cursor - start = delivered + filtered + parked + dead + discarded)
) STRICT, WITHOUT ROWID;
