CREATE TABLE IF NOT EXISTS busway_exception (
    log TEXT NOT NULL,
    flow TEXT NOT NULL,
    "partition" INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    PRIMARY KEY (log, flow, "partition", "offset")
) WITHOUT ROWID
