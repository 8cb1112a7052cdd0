SELECT flow, partition, sum(state = 'parked'), sum(state = 'dead')
FROM trouble GROUP BY flow, partition;
