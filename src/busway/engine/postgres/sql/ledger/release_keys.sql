-- The first parked event of a key becomes due.
UPDATE failed_event SET due = first.at
FROM (
    SELECT given.flow, given.partition, given.at, earliest."offset"
    FROM unnest($1::text[], $2::integer[], $3::text[], $4::timestamptz[])
        AS given (flow, partition, key, at)
    CROSS JOIN LATERAL (
        SELECT failed_event."offset" FROM failed_event
        WHERE failed_event.flow = given.flow AND failed_event.partition = given.partition
            AND left(failed_event.key, 256) = left(given.key, 256) AND failed_event.key = given.key
            AND failed_event.state = 'parked'
        ORDER BY failed_event."offset" LIMIT 1) AS earliest
) AS first
WHERE (failed_event.flow, failed_event.partition, failed_event."offset")
    = (first.flow, first.partition, first."offset")
    AND failed_event.state = 'parked' AND failed_event.due IS NULL;
