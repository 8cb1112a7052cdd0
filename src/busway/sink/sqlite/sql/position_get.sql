SELECT start, position, fencing_token FROM busway_position WHERE log = ? AND flow = ? AND "partition" = ?
