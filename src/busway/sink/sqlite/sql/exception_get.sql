SELECT "offset" FROM busway_exception
WHERE log = ? AND flow = ? AND "partition" = ? AND "offset" = ?
