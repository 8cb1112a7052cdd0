SELECT flow, partition, start, "end", version, first_at, last_at,
    delivered, filtered, parked, dead, discarded
FROM settled_range WHERE (flow, partition, start) > (?, ?, ?) ORDER BY flow, partition, start;
