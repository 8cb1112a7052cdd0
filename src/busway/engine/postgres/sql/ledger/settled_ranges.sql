SELECT flow, partition, start, "end", version, first_at, last_at,
    delivered, filtered, parked, dead, discarded
FROM settled_range WHERE flow = $1 AND ($2::integer IS NULL OR partition = $2)
ORDER BY partition, start;
