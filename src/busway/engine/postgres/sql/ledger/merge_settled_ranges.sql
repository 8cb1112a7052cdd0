-- Merge adjacent ranges of one version that are older than a time.
WITH old AS (
    SELECT *, CASE WHEN lag("end") OVER lane = start AND lag(version) OVER lane = version
        THEN 0 ELSE 1 END AS breaks
    FROM settled_range WHERE last_at < $1 WINDOW lane AS (PARTITION BY flow, partition ORDER BY start)
), numbered AS (
    SELECT *, sum(breaks) OVER (PARTITION BY flow, partition ORDER BY start) AS run FROM old
), merged AS (
    SELECT flow, partition, min(start) AS start, max("end") AS "end", version,
        (array_agg(first_at ORDER BY start))[1] AS first_at,
        (array_agg(last_at ORDER BY start DESC))[1] AS last_at,
        sum(delivered) AS delivered, sum(filtered) AS filtered, sum(parked) AS parked,
        sum(dead) AS dead, sum(discarded) AS discarded
    FROM numbered GROUP BY flow, partition, run, version HAVING count(*) > 1
), gone AS (
    DELETE FROM settled_range USING merged
    WHERE settled_range.flow = merged.flow AND settled_range.partition = merged.partition
        AND settled_range.start > merged.start AND settled_range.start < merged."end"
)
UPDATE settled_range SET "end" = merged."end", last_at = merged.last_at, delivered = merged.delivered,
    filtered = merged.filtered, parked = merged.parked, dead = merged.dead,
    discarded = merged.discarded
FROM merged
WHERE settled_range.flow = merged.flow AND settled_range.partition = merged.partition
    AND settled_range.start = merged.start;
