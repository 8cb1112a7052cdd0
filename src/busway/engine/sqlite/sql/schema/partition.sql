-- The base of each partition: up to where it is trimmed, or where it continues after a gap, if that
-- is later. Without a batch it is the end as well. base is the partition << 48 | the offset.
CREATE TABLE partition (partition INTEGER PRIMARY KEY, base INTEGER NOT NULL) STRICT;
