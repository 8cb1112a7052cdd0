-- A bounded piece of what ends at or before an offset.
WITH gone AS (
    DELETE FROM batch WHERE partition = $1 AND "offset" IN (
        SELECT "offset" FROM batch
        WHERE partition = $1 AND "offset" + count <= $2 ORDER BY "offset" LIMIT $3)
    RETURNING "offset", count, size
), total AS (
    SELECT max("offset" + count) AS base, sum(count) AS count, sum(size) AS size FROM gone
)
UPDATE partition SET base = greatest(partition.base, total.base), size = partition.size - total.size
FROM total WHERE partition.partition = $1 AND total.base IS NOT NULL
RETURNING total.count, total.size;
