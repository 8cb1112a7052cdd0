WITH made AS (
    INSERT INTO lane (flow, partition, start, cursor) VALUES ($1, $2, $3, $3)
    ON CONFLICT DO NOTHING
    RETURNING flow, partition, start, cursor, delivered, filtered, parked, dead, discarded,
    worker, fencing_token
)
SELECT * FROM made UNION ALL
SELECT flow, partition, start, cursor, delivered, filtered, parked, dead, discarded,
    worker, fencing_token
FROM lane WHERE flow = $1 AND partition = $2 LIMIT 1;
