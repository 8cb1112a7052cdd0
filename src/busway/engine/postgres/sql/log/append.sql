-- One statement, one commit: the rows of the partitions are locked in order until it is durable.
WITH noted AS (
    INSERT INTO appender (id, sequence, at) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, at = excluded.at
    WHERE appender.sequence < excluded.sequence
    RETURNING sequence
), locked AS (
    SELECT partition FROM partition
    WHERE partition = ANY ($4::integer[]) AND EXISTS (SELECT FROM noted)
    ORDER BY partition FOR UPDATE
), moved AS (
    UPDATE partition SET "end" = "end" + more.count, size = partition.size + more.size
    FROM unnest($4::integer[], $5::bigint[], $6::bigint[]) AS more (partition, count, size)
    JOIN locked USING (partition)
    WHERE partition.partition = more.partition
    RETURNING partition.partition, "end" - more.count AS "offset"
), placed AS (
    INSERT INTO batch (partition, "offset", count, size, appended_at, body)
    SELECT moved.partition, moved."offset" + draft.ahead, draft.count, draft.size, $3, draft.body
    FROM unnest($7::integer[], $8::bigint[], $9::integer[], $10::integer[], $11::bytea[])
        AS draft (partition, ahead, count, size, body)
    JOIN moved USING (partition)
)
SELECT partition, "offset" FROM moved;
