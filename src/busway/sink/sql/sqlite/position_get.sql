SELECT start, position, epoch FROM busway_position WHERE log = ? AND flow = ? AND "partition" = ?
