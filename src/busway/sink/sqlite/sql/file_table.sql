CREATE TABLE IF NOT EXISTS busway_file (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    size_bytes INTEGER NOT NULL
)
