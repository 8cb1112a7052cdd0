-- Up to where each partition is trimmed; or where it goes on behind a hole, when that is later. It
-- is the end as well when no batch is behind it. base is the partition << 48 | the offset.
CREATE TABLE partition (partition INTEGER PRIMARY KEY, base INTEGER NOT NULL) STRICT;
