INSERT INTO busway_position (log, flow, "partition", start, position, fencing_token) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (log, flow, "partition")
DO UPDATE SET
    start = excluded.start, position = excluded.position, fencing_token = max(fencing_token, excluded.fencing_token)
