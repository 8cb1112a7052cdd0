INSERT INTO settled_range (flow, partition, start, "end", version, first_at, last_at,
    delivered, filtered, parked, dead, discarded)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, ?10, ?11);
