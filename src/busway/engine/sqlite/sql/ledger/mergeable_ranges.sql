-- Ranges older than a time that touch the previous range and have its version.
SELECT flow, partition, start, "end", version, last_at,
    delivered, filtered, parked, dead, discarded
FROM settled_range WHERE last_at < ?1 ORDER BY flow, partition, start;
