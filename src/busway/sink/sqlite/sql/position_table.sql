CREATE TABLE IF NOT EXISTS busway_position (
    log TEXT NOT NULL,
    flow TEXT NOT NULL,
    "partition" INTEGER NOT NULL,
    start INTEGER NOT NULL,
    position INTEGER NOT NULL,
    fencing_token INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (log, flow, "partition")
) WITHOUT ROWID
