SELECT flow, partition, start, cursor, delivered, filtered, parked, dead, discarded,
    worker, fencing_token
FROM lane WHERE (flow, partition) > (?, ?) ORDER BY flow, partition;
