UPDATE {schema}.busway_position
SET start = $4, position = $5, writes = writes + 1, fencing_token = greatest(fencing_token, $6)
WHERE log = $1 AND flow = $2 AND "partition" = $3
