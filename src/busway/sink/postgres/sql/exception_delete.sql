DELETE FROM {schema}.busway_exception
WHERE log = $1 AND flow = $2 AND "partition" = $3 AND "offset" = ANY($4::bigint[])
