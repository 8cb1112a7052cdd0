-- Advance each lane whose cursor is at the start of its settlement, and record the ranges. The lanes
-- are locked first, in a fixed order, to avoid deadlocks.
WITH given AS (
    SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::text[],
            $6::timestamptz[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[],
            $11::bigint[], $12::bigint[])
        WITH ORDINALITY AS given (flow, partition, start, "end", version, at, delivered, filtered,
            parked, dead, discarded, fencing_token, n)
), locked AS (
    SELECT given.* FROM lane JOIN given USING (flow, partition)
    ORDER BY lane.flow, lane.partition FOR UPDATE OF lane
), moved AS (
    UPDATE lane SET cursor = locked."end", delivered = lane.delivered + locked.delivered,
        filtered = lane.filtered + locked.filtered, parked = lane.parked + locked.parked,
        dead = lane.dead + locked.dead, discarded = lane.discarded + locked.discarded
    FROM locked
    WHERE (lane.flow, lane.partition) = (locked.flow, locked.partition)
        AND lane.cursor = locked.start AND lane.fencing_token = locked.fencing_token
    RETURNING locked.*
), extended AS (
    UPDATE settled_range SET "end" = moved."end", last_at = moved.at,
        delivered = settled_range.delivered + moved.delivered,
        filtered = settled_range.filtered + moved.filtered, parked = settled_range.parked + moved.parked,
        dead = settled_range.dead + moved.dead, discarded = settled_range.discarded + moved.discarded
    FROM moved
    WHERE (settled_range.flow, settled_range.partition) = (moved.flow, moved.partition)
        AND settled_range.start = (
            SELECT max(start) FROM settled_range
            WHERE (settled_range.flow, settled_range.partition) = (moved.flow, moved.partition))
        AND settled_range."end" = moved.start AND settled_range.version = moved.version
        AND moved.at - settled_range.first_at <= $13 AND moved."end" > moved.start
    RETURNING moved.n
), added AS (
    INSERT INTO settled_range (flow, partition, start, "end", version, first_at, last_at,
        delivered, filtered, parked, dead, discarded)
    SELECT flow, partition, start, "end", version, at, at,
        delivered, filtered, parked, dead, discarded
    FROM moved WHERE n NOT IN (SELECT n FROM extended) AND "end" > start
)
SELECT n FROM moved;
