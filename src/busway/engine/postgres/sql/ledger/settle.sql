-- Advance the lane if its cursor is at the start of the settlement, and record the range.
WITH moved AS (
    UPDATE lane SET cursor = $4, delivered = delivered + $7, filtered = filtered + $8,
        parked = parked + $9, dead = dead + $10, discarded = discarded + $11
    WHERE flow = $1 AND partition = $2 AND cursor = $3 AND fencing_token = $13
    RETURNING flow
), extended AS (
    UPDATE settled_range SET "end" = $4, last_at = $6, delivered = delivered + $7,
        filtered = filtered + $8, parked = parked + $9, dead = dead + $10,
        discarded = discarded + $11
    WHERE flow = $1 AND partition = $2 AND "end" = $3 AND version = $5 AND $6 - first_at <= $12
        AND start = (SELECT max(start) FROM settled_range WHERE flow = $1 AND partition = $2)
        AND EXISTS (SELECT FROM moved) AND $4 > $3
    RETURNING flow
), added AS (
    INSERT INTO settled_range (flow, partition, start, "end", version, first_at, last_at,
        delivered, filtered, parked, dead, discarded)
    SELECT $1, $2, $3, $4, $5, $6, $6, $7, $8, $9, $10, $11
    WHERE EXISTS (SELECT FROM moved) AND NOT EXISTS (SELECT FROM extended) AND $4 > $3
)
SELECT EXISTS (SELECT FROM moved);
