SELECT start, position FROM busway_position WHERE log = ? AND flow = ? AND "partition" = ?
