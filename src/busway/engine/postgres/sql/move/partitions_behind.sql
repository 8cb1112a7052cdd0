-- The partitions that end before their base, with the base.
SELECT partition.partition, wanted.base
FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (base, n)
JOIN partition ON partition.partition = wanted.n - 1
WHERE partition."end" < wanted.base;
