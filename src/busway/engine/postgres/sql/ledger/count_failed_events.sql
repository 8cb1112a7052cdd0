SELECT flow, partition, count(*) FILTER (WHERE state = 'parked'),
    count(*) FILTER (WHERE state = 'dead')
FROM failed_event GROUP BY flow, partition;
