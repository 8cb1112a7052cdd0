-- One row for each batch; id is the partition << 48 | the offset of the first event,
-- appended_at is in microseconds since 1970.
CREATE TABLE batch (
    id INTEGER PRIMARY KEY,
    count INTEGER NOT NULL CHECK (count > 0),
    appended_at INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
