SELECT flow, partition, coalesce(sum(count) FILTER (WHERE state = 'parked'), 0),
    coalesce(sum(count) FILTER (WHERE state = 'dead'), 0)
FROM (
    SELECT state, flow, partition, count(*) AS count FROM failed_event GROUP BY state, flow, partition
)
GROUP BY flow, partition;
