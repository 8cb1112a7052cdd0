UPDATE lane SET cursor = ?4, delivered = delivered + ?5, filtered = filtered + ?6,
    parked = parked + ?7, dead = dead + ?8, discarded = discarded + ?9
WHERE flow = ?1 AND partition = ?2 AND cursor = ?3 AND fencing_token = ?10;
