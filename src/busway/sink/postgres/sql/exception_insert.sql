INSERT INTO {schema}.busway_exception (log, flow, "partition", "offset")
SELECT $1, $2, $3, unnest($4::bigint[])
