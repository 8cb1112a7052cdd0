-- Ranges that touch the one before them, of the same version and older than a time.
SELECT flow, partition, start, "end", version, last_at,
    delivered, filtered, parked, dead, discarded
FROM settled_range WHERE last_at < ?1 ORDER BY flow, partition, start;
