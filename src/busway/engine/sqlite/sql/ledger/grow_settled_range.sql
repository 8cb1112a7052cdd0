UPDATE settled_range SET "end" = ?4, last_at = ?5, delivered = delivered + ?6, filtered = filtered + ?7,
    parked = parked + ?8, dead = dead + ?9, discarded = discarded + ?10
WHERE flow = ?1 AND partition = ?2 AND start = ?3;
