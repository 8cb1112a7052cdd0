-- Parked events and dead letters; times are in microseconds since 1970, failures are JSON.
CREATE TABLE failed_event (
    flow TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('parked', 'dead')),
    since INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due INTEGER,
    key TEXT,
    failures BLOB NOT NULL,
    event BLOB NOT NULL,
    event_key TEXT,
    error TEXT NOT NULL DEFAULT '',
    fingerprint TEXT NOT NULL DEFAULT '',
    attempt_started_at INTEGER,
    PRIMARY KEY (flow, partition, "offset"),
    FOREIGN KEY (flow, partition) REFERENCES lane,
    CHECK (state = 'dead' OR due IS NOT NULL OR key IS NOT NULL)
) STRICT;
