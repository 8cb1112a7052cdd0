SELECT flow, partition, start, cursor, delivered, filtered, parked, dead, discarded,
    worker, fencing_token
FROM lane ORDER BY flow, partition;
