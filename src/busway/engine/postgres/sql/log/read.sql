SELECT "offset", count, appended_at, body FROM (
    SELECT *, sum(size) OVER (ORDER BY "offset") AS upto, row_number() OVER (ORDER BY "offset") AS n
    FROM (
        SELECT "offset", count, size, appended_at, body FROM batch
        WHERE partition = $1 AND "offset" >= coalesce(
            (SELECT max("offset") FROM batch WHERE partition = $1 AND "offset" <= $2), $2)
            AND "offset" + count > $2
        ORDER BY "offset" LIMIT $4
    ) AS next
) AS fitting
WHERE n = 1 OR upto <= $3
ORDER BY "offset";
