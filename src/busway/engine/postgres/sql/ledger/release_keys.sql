-- The first parked event of a key never waits.
UPDATE trouble SET due = first.at
FROM (
    SELECT given.flow, given.partition, given.at, earliest."offset"
    FROM unnest($1::text[], $2::integer[], $3::text[], $4::timestamptz[])
        AS given (flow, partition, key, at)
    CROSS JOIN LATERAL (
        SELECT trouble."offset" FROM trouble
        WHERE trouble.flow = given.flow AND trouble.partition = given.partition
            AND left(trouble.key, 256) = left(given.key, 256) AND trouble.key = given.key
            AND trouble.state = 'parked'
        ORDER BY trouble."offset" LIMIT 1) AS earliest
) AS first
WHERE (trouble.flow, trouble.partition, trouble."offset")
    = (first.flow, first.partition, first."offset")
    AND trouble.state = 'parked' AND trouble.due IS NULL;
