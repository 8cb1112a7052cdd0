INSERT INTO busway_position (log, flow, "partition", start, position, epoch) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (log, flow, "partition")
DO UPDATE SET
    start = excluded.start, position = excluded.position, epoch = max(epoch, excluded.epoch)
