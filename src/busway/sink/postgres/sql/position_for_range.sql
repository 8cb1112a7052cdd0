SELECT
    p.start,
    p.position,
    p.writes,
    p.fencing_token,
    (
        SELECT s.writes FROM {schema}.busway_position AS s
        WHERE s.log = $1 AND s.flow = $2 AND s."partition" = $3
    ) AS seen,
    ARRAY(
        SELECT e."offset" FROM {schema}.busway_exception AS e
        WHERE
            e.log = $1 AND e.flow = $2 AND e."partition" = $3
            AND e."offset" >= least($4, p.position) AND e."offset" < $5
    ) AS exceptions
FROM {schema}.busway_position AS p
WHERE p.log = $1 AND p.flow = $2 AND p."partition" = $3
FOR UPDATE OF p
