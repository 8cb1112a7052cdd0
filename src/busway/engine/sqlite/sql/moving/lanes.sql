SELECT flow, partition, start, cursor, delivered, filtered, parked, dead, discarded,
    worker, epoch
FROM lane WHERE (flow, partition) > (?, ?) ORDER BY flow, partition;
