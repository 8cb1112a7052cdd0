-- Changes by people; before and after are JSON.
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    before BLOB,
    after BLOB,
    reason TEXT NOT NULL
) STRICT;
