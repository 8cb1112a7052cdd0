SELECT appended_at FROM (
    SELECT "offset" + count AS "end", appended_at FROM batch
    WHERE partition = $1 AND "offset" <= $2 ORDER BY "offset" DESC LIMIT 1
) AS holding WHERE "end" > $2;
