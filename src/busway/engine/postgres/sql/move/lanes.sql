SELECT flow, partition, start, cursor, delivered, filtered, parked, dead, discarded,
    worker, fencing_token
FROM lane WHERE (flow, partition) > ($1, $2) ORDER BY flow, partition;
