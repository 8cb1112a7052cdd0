UPDATE lane SET delivered = delivered + $3, filtered = filtered + $4, parked = parked + $5,
    dead = dead + $6, discarded = discarded + $7
WHERE flow = $1 AND partition = $2;
