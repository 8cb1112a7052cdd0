UPDATE settled_range SET "end" = ?4, last_at = ?6, delivered = delivered + ?7,
    filtered = filtered + ?8, parked = parked + ?9, dead = dead + ?10,
    discarded = discarded + ?11
WHERE flow = ?1 AND partition = ?2 AND "end" = ?3 AND version = ?5 AND ?6 - first_at <= ?12
    AND start = (SELECT max(start) FROM settled_range WHERE flow = ?1 AND partition = ?2);
