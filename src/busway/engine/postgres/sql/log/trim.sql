-- Delete a bounded number of batches that end at or before an offset. The new base is the next batch,
-- which may be after a gap; without one it is the end when the statement began.
WITH before AS (
    SELECT base, "end" FROM partition WHERE partition = $1
), gone AS (
    DELETE FROM batch WHERE partition = $1 AND "offset" IN (
        SELECT "offset" FROM batch
        WHERE partition = $1 AND "offset" + count <= $2 ORDER BY "offset" LIMIT $3)
    RETURNING "offset", count, size
), total AS (
    SELECT max("offset" + count) AS upto, sum(size) AS size FROM gone
), left_over AS (
    SELECT min("offset") AS base FROM batch, total WHERE partition = $1 AND "offset" >= total.upto
)
UPDATE partition SET
    base = greatest(partition.base, coalesce(left_over.base, before."end")),
    size = partition.size - total.size
FROM total, left_over, before WHERE partition.partition = $1 AND total.upto IS NOT NULL
RETURNING partition.base - before.base, total.size;
