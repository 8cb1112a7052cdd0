-- Up to where each partition is trimmed, which is its end as well when it holds no batch;
-- base is the partition << 48 | the offset.
CREATE TABLE partition (partition INTEGER PRIMARY KEY, base INTEGER NOT NULL) STRICT;
