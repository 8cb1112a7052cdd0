-- Failed events that are resolved, with their outcomes; failures are JSON.
CREATE TABLE resolved_event (
    seq INTEGER PRIMARY KEY,
    flow TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    outcome TEXT NOT NULL,
    at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    failures BLOB NOT NULL,
    event_key TEXT,
    version TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
