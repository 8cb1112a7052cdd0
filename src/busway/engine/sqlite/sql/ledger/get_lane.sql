SELECT flow, partition, start, cursor, delivered, filtered, parked, dead, discarded,
    worker, fencing_token
FROM lane WHERE flow = ?1 AND partition = ?2;
