SELECT flow, partition, count(*) FILTER (WHERE state = 'parked'),
    count(*) FILTER (WHERE state = 'dead')
FROM trouble GROUP BY flow, partition;
