SELECT flow, partition, start, cursor, delivered, filtered, parked, dead, discarded
FROM lane ORDER BY flow, partition;
