INSERT INTO {schema}.busway_position (log, flow, "partition", start, position, writes)
VALUES ($1, $2, $3, 0, 0, 0)
ON CONFLICT DO NOTHING
