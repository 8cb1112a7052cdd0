INSERT INTO busway_exception (log, flow, "partition", "offset") VALUES (?, ?, ?, ?)
