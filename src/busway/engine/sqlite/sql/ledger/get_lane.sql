SELECT flow, partition, start, cursor, delivered, filtered, parked, dead, discarded,
    worker, epoch
FROM lane WHERE flow = ?1 AND partition = ?2;
