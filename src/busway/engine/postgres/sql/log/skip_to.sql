-- Where the partition ends before $2 it goes on there; without a batch it begins there as well.
WITH before AS (SELECT partition, "end" FROM partition WHERE partition = $1 FOR UPDATE), moved AS (
    UPDATE partition SET
        base = CASE WHEN base = partition."end" THEN $2 ELSE base END,
        "end" = $2
    FROM before WHERE partition.partition = before.partition AND before."end" < $2
)
SELECT "end" FROM before;
