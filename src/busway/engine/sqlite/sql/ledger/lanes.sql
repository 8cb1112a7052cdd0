SELECT flow, partition, start, cursor, delivered, filtered, parked, dead, discarded,
    worker, epoch
FROM lane ORDER BY flow, partition;
