-- The number of failed events by root cause.
CREATE TABLE failed_event_count (
    state TEXT NOT NULL,
    flow TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    error TEXT NOT NULL,
    count INTEGER NOT NULL CHECK (count >= 0),
    PRIMARY KEY (state, flow, fingerprint, error)
) STRICT, WITHOUT ROWID;
